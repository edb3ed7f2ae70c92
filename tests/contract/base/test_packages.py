"""Debian's own dpkg and its locks: it waits for none, and what the base role runs does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from threading import Timer

import pytest

from tests.golden.ansible.programs import load_program
from tests.unit.ansible.test_finish_packages import LOCKS, held

pytestmark = pytest.mark.soak

HALF = """Package: cut-off
Status: install ok unpacked
Maintainer: nobody
Version: 1
Architecture: all
Description: its installation was cut off

"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of dpkg's with a package that is unpacked and not configured."""
    found = tmp_path / "dpkg"
    for name in ("updates", "info", "triggers"):
        (found / name).mkdir(parents=True)
    (found / "status").write_text(HALF)
    (found / "available").touch()
    (found / "info/cut-off.list").write_text("/.\n")
    monkeypatch.setenv("DPKG_ADMINDIR", str(found))
    return found


def is_configured(folder: Path) -> bool:
    return "Status: install ok installed" in (folder / "status").read_text()


@pytest.mark.parametrize("name", LOCKS)
def test_dpkg_itself_does_not_wait(folder: Path, name: str) -> None:
    """The control: what stood in the role before ended so."""
    environment = {k: v for k, v in os.environ.items() if k != "DPKG_FRONTEND_LOCKED"}
    with held(folder / name):
        done = subprocess.run(
            ["dpkg", "--configure", "-a", "--force-confold"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "lock" in done.stderr
    assert not is_configured(folder)


@pytest.mark.parametrize("name", LOCKS)
def test_the_program_waits_and_configures(folder: Path, tmp_path: Path, name: str) -> None:
    program = load_program(tmp_path, "base/finish-packages.py.j2", "oslo-edge-01")
    with held(folder / name) as other:
        assert other.stdin is not None
        timer = Timer(1.0, other.stdin.close)
        timer.start()
        assert program.main(str(folder), 30) == 0
        timer.join()
    assert is_configured(folder)


def test_one_that_holds_on_is_named(folder: Path, tmp_path: Path) -> None:
    program = load_program(tmp_path, "base/finish-packages.py.j2", "oslo-edge-01")
    with held(folder / LOCKS[0]) as other, pytest.raises(SystemExit) as ended:
        program.main(str(folder), 1)
    assert f"process {other.pid}" in str(ended.value.code)
    assert not is_configured(folder)
