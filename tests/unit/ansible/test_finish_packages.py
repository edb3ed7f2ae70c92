"""What is left of an installation is finished once nobody else is at work on packages.

The locks are real, and held by a process of their own: a lock of one's own would stop nobody.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from types import ModuleType

import pytest
import yaml

from tests.golden.ansible.programs import load_program
from tests.golden.ansible.rendering import ROLES

HOLD = """
import fcntl, sys
with open(sys.argv[1], "a") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""
LOCKS = ["lock-frontend", "lock"]


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return load_program(tmp_path, "base/finish-packages.py.j2", "oslo-edge-01")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of dpkg's, and a dpkg that says what it was asked, and who has the lock."""
    said, fake = tmp_path / "said", tmp_path / "bin/dpkg"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "$*; locked: $DPKG_FRONTEND_LOCKED" >> {said}\n'
        f"exit $(cat {tmp_path}/status 2>/dev/null || echo 0)\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    return tmp_path


@contextmanager
def held(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold a lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other


def asked(folder: Path) -> list[str]:
    said = folder / "said"
    return said.read_text().splitlines() if said.exists() else []


def test_it_has_the_frontends_lock_and_says_so(folder: Path, program: ModuleType) -> None:
    assert program.main(str(folder), 5) == 0
    assert asked(folder) == ["--configure -a --force-confold; locked: yes"]


@pytest.mark.parametrize("name", LOCKS)
def test_it_waits_for_whoever_is_at_work(folder: Path, program: ModuleType, name: str) -> None:
    with held(folder / name) as other:
        assert other.stdin is not None
        seen: list[list[str]] = []

        def end() -> None:
            seen.append(asked(folder))
            assert other.stdin is not None
            other.stdin.close()

        timer = Timer(1.0, end)
        timer.start()
        assert program.main(str(folder), 30) == 0
        timer.join()
    assert seen == [[]], "nothing is configured while another is at work"
    assert len(asked(folder)) == 1


@pytest.mark.parametrize("name", LOCKS)
def test_at_the_deadline_it_says_who_and_does_nothing(
    folder: Path, program: ModuleType, name: str
) -> None:
    began = time.monotonic()
    with held(folder / name) as other, pytest.raises(SystemExit) as ended:
        program.main(str(folder), 0.6)
    assert time.monotonic() - began >= 0.6
    said = str(ended.value.code)
    assert said.startswith(f"process {other.pid} (python")
    assert str(folder / name) in said
    assert "within 0.6 s" in said
    assert asked(folder) == []


def test_what_dpkg_has_against_it_is_not_hidden(folder: Path, program: ModuleType) -> None:
    (folder / "status").write_text("1")
    assert program.main(str(folder), 5) == 1
    assert len(asked(folder)) == 1, "it is no lock, and is not tried again"


def test_the_role_runs_it_where_an_installation_was_cut_off() -> None:
    tasks = yaml.safe_load((ROLES / "base/tasks/install.yml").read_text())
    (task,) = [t for t in tasks if "finish-packages" in str(t)]
    assert "until" not in task
    assert task["when"] == "__base_cut_off.matched > 0 and not ansible_check_mode"
    command = task["ansible.builtin.command"]
    assert command["argv"] == ["/usr/bin/python3", "-", "{{ base_packages_deadline_s }}"]
