"""A started process is in its group before anybody else may start one."""

import fcntl
import os
from pathlib import Path

from lab.instance.spawn import locked, spawn
from lab.instance.waiting import wait_until


def _free(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_the_process_joins_its_groups_and_writes_to_its_log(tmp_path: Path) -> None:
    groups = [tmp_path / "one", tmp_path / "two"]
    for group in groups:
        group.mkdir()
    log = tmp_path / "log"
    with locked(tmp_path / "lock") as lock:
        spawn(["sh", "-c", "echo said $$; cat"], groups=groups, lock=lock, log=log)
    assert wait_until(lambda: log.exists() and "said" in log.read_text(), 5)
    pid = log.read_text().split()[1]
    assert [(g / "cgroup.procs").read_text().strip() for g in groups] == [pid, pid]
    assert wait_until(lambda: _free(tmp_path / "lock"), 5), "the process gave the lock up"


def test_the_lock_is_held_until_the_process_is_in_its_group(tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    # A pipe in place of the group's file: joining blocks until somebody reads it.
    os.mkfifo(group / "cgroup.procs")
    lock_file = tmp_path / "lock"
    with locked(lock_file) as lock:
        spawn(["sleep", "30"], groups=[group], lock=lock, log=tmp_path / "log")
    assert not _free(lock_file)
    pid = int((group / "cgroup.procs").read_text())
    try:
        assert wait_until(lambda: _free(lock_file), 5)
    finally:
        os.kill(pid, 9)


def test_a_process_that_cannot_join_does_not_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with locked(tmp_path / "lock") as lock:
        spawn(["echo", "ran"], groups=[tmp_path / "missing"], lock=lock, log=log)
    assert wait_until(lambda: _free(tmp_path / "lock"), 5)
    assert wait_until(lambda: log.read_text() or None, 5)
    assert "ran" not in log.read_text()
