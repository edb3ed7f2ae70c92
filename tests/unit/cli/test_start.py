"""What a command has imported before it does anything: a person at night waits for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from permafrost.pki import ssh_key
from permafrost.site.load import load_site
from tests.fakes.site import write_site

HEAVY = (
    "ansible_runner", "cryptography", "grpc", "httpcore", "httpx", "jinja2", "model_signing",
    "pulumi", "pymilvus", "pyVim", "pyVmomi", "sqlalchemy",
)  # fmt: skip
"""Each takes as long to import as a good part of the rest of a command, most as all of it."""
OF_A_SITE = ("permafrost.site.model", "sqlite3", "yaml")
"""What opens a site and its memory: a line that is only read, or is refused, needs none."""


def imported(code: str, known: tuple[str, ...] = HEAVY) -> set[str]:
    show = f"import sys; print(*(set({known!r}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def said(code: str) -> str:
    """Return the last line that a program of Python's writes."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_help_imports_no_heavy_library_and_nothing_of_a_site() -> None:
    asked = [[], ["drain"], ["maintenance"], ["upgrade"], ["model"]]
    code = f"for c in {asked!r}: assert run([*c, '--help']) == 0"
    assert imported(f"from permafrost.cli.main import run\n{code}", HEAVY + OF_A_SITE) == set()


def test_a_line_that_cannot_be_read_imports_nothing_of_a_site() -> None:
    asked = [["drain", "--force", "more"], ["upgrade", "x", "--way", "up"], ["nothing"]]
    code = f"for c in {asked!r}: assert run(c) == 2, c"
    assert imported(f"from permafrost.cli.main import run\n{code}", HEAVY + OF_A_SITE) == set()


@pytest.mark.parametrize("command", [("history",), ("receipt", "verify")])
def test_what_ran_is_read_without_what_asks_the_site(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    site = write_site(tmp_path)
    ssh_key(load_site(site).state_dir)  # it is made once, by a library that nothing else asks
    line = [*command, "--site", str(site), "--output", "json"]
    code = f"from permafrost.cli.main import run\nassert run({line!r}) == 0"
    assert imported(code) == set()
    assert imported(code, OF_A_SITE) == set(OF_A_SITE), "the control: it has opened the site"


def test_a_runbook_opens_its_site_without_what_only_some_steps_need() -> None:
    names = ("drain", "undrain", "maintenance", "upgrade", "status", "recovery", "history",
             "converge", "rebuild", "deploy")  # fmt: skip
    code = ", ".join(("permafrost.wiring", *(f"permafrost.runbook.{name}" for name in names)))
    assert imported(f"import {code}") == set()


def test_a_pin_is_looked_up_without_a_catalogue_and_what_httpx_draws_with() -> None:
    drawing = ("pygments", "rich")
    found = imported("import permafrost.adapters.registry", HEAVY + drawing)
    assert found == {"cryptography", "httpx"}, "its requests go by the standard library's HTTP"
    assert imported("import httpx", drawing) == set(drawing), "the control: left alone it does"
    assert imported("import model_registry.http, httpx._main", drawing) == set(drawing)


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
