"""vCenter's own types need none of those that are hidden from pyvmomi, whatever its release."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from permafrost.adapters.vsphere.definitions import OF_OTHERS

# The first word of a definition is what it defines; any other may be a type that it needs.
DEFINED = re.compile(r"""\bCreate\w+Type\(["']([^"']+)["']""")
WORD = re.compile(r"""["']([A-Za-z][\w.]+?)(?:\[\])?["']""")
OWN = ("core", "query", "vim")


def source(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None, f"this pyvmomi has no {module}"
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def test_vcenters_own_types_name_none_that_is_hidden() -> None:
    own = "".join(source(f"pyVmomi._typeinfo_{name}") for name in OWN)
    named = set(WORD.findall(own))
    assert "vim.VirtualMachine" in named, "the control: names are found"
    for module in OF_OTHERS:
        hidden = set(DEFINED.findall(source(module)))
        assert hidden, f"{module} is written otherwise than this test reads"
        assert not hidden & named, module
