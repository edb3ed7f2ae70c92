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


def test_help_imports_no_heavy_library() -> None:
    asked = [[], ["drain"], ["maintenance"], ["upgrade"]]
    code = f"for c in {asked!r}: assert run([*c, '--help']) == 0"
    assert imported(f"from permafrost.cli.main import run\n{code}") == set()


def test_a_runbook_opens_its_site_without_what_only_some_steps_need() -> None:
    names = ("drain", "undrain", "maintenance", "upgrade", "status", "recovery")
    code = ", ".join(("permafrost.wiring", *(f"permafrost.runbook.{name}" for name in names)))
    assert imported(f"import {code}") == set()


def test_the_guard_sees_a_heavy_library() -> None:
    assert imported("import permafrost.adapters.vsphere") == {"pyVim", "pyVmomi"}
