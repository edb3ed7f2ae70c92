"""Only a lock that is certainly dead is removed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from permafrost.adapters.pulumi_stack.locks import stack_locks
from permafrost.adapters.pulumi_stack.repair import remove_dead_locks


def write_lock(
    backend: Path, pid: int, *, machine: str = "", taken: datetime | None = None
) -> Path:
    folder = backend / ".pulumi/locks/organization/permafrost/lab"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pid}.json"
    # Go writes nanoseconds.
    stamp = (taken or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"
    content = {
        "pid": pid,
        "username": "root",
        "hostname": machine or socket.gethostname(),
        "timestamp": stamp,
    }
    path.write_text(json.dumps(content))
    return path


def ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_lock_of_a_process_that_ended_is_removed(tmp_path: Path) -> None:
    path = write_lock(tmp_path, ended_process())
    assert remove_dead_locks(tmp_path, "permafrost", "lab") == 1
    assert not path.exists()


def test_a_living_process_keeps_its_lock(tmp_path: Path) -> None:
    path = write_lock(tmp_path, os.getpid())
    assert remove_dead_locks(tmp_path, "permafrost", "lab") == 0
    assert path.exists()


def test_a_pid_that_was_given_to_another_process_since_is_dead(tmp_path: Path) -> None:
    write_lock(tmp_path, os.getpid(), taken=datetime.now(UTC) - timedelta(days=3))
    assert remove_dead_locks(tmp_path, "permafrost", "lab") == 1


def test_another_machines_lock_is_left_alone(tmp_path: Path) -> None:
    write_lock(tmp_path, ended_process(), machine="another-machine")
    assert remove_dead_locks(tmp_path, "permafrost", "lab") == 0


def test_the_locks_of_another_stack_are_not_seen(tmp_path: Path) -> None:
    write_lock(tmp_path, ended_process())
    assert stack_locks(tmp_path, "permafrost", "other") == ()
