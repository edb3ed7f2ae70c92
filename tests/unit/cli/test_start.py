"""What a command has imported before it does anything: a person at night waits for it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "ansible_runner", "grpc", "httpx", "jinja2", "model_signing", "pulumi", "pymilvus",
    "pyVim", "pyVmomi",
)  # fmt: skip
"""Each takes as long to import as the rest of a command together, or longer."""
SHOW = f"import sys; print(*(set({HEAVY!r}) & sys.modules.keys()))"


def imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOW}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def said(code: str) -> str:
    """Return the last line that a program of Python's writes."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_help_imports_no_heavy_library() -> None:
    asked = [[], ["drain"], ["maintenance"], ["upgrade"]]
    code = f"for c in {asked!r}: assert run([*c, '--help']) == 0"
    assert imported(f"from permafrost.cli.main import run\n{code}") == set()


def test_a_runbook_opens_its_site_without_what_only_some_steps_need() -> None:
    names = ("drain", "undrain", "maintenance", "upgrade", "status", "recovery")
    code = ", ".join(("permafrost.wiring", *(f"permafrost.runbook.{name}" for name in names)))
    assert imported(f"import {code}") == set()


def test_a_program_asks_for_no_drawing() -> None:
    names = ("permafrost.wiring", "permafrost.runbook.drain", "permafrost.runbook.upgrade")
    code = (
        f"import permafrost.cli.main, {', '.join(names)}\nimport sys; print('rich' in sys.modules)"
    )
    assert said(code) == "False"
    assert said("import permafrost.cli.render\nimport sys; print('rich' in sys.modules)") == "True"


def test_of_pyvmomi_only_the_types_of_vcenter_are_defined() -> None:
    look = (
        "import sys; from pyVmomi import vim, vmodl; "
        "print(sorted(m for m in sys.modules if m.startswith('pyVmomi._typeinfo_')), "
        "vim.VirtualMachine.__name__, vmodl.MethodFault.__name__)"
    )
    assert said(f"import permafrost.adapters.vsphere\n{look}") == (
        "['pyVmomi._typeinfo_core', 'pyVmomi._typeinfo_query', 'pyVmomi._typeinfo_vim'] "
        "vim.VirtualMachine vmodl.MethodFault"
    )
    assert "_typeinfo_vsanhealth" in said(look), "the control: left alone it defines them"


def test_the_end_of_a_command_looks_for_no_garbage() -> None:
    code = (
        "import atexit, gc, sys; from permafrost.cli.main import main; "
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000)); "
        "sys.argv = ['permafrost', 'drain', '--help']; main()"
    )
    assert said(code) == "True"


def test_the_guard_sees_a_heavy_library() -> None:
    assert imported("import permafrost.adapters.vsphere") == {"pyVim", "pyVmomi"}
