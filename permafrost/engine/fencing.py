"""End a process that held the lock too long, with everything that it started.

vCenter, HAProxy and sshd check no token, so whoever takes a lock over first makes sure that the
one before can do nothing any more: it is stopped, so that it starts nothing new, then it and all
its descendants are killed, and their end is awaited. A cgroup of its own is killed as a whole
where the process has one; elsewhere its descendants are found by their parents.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from permafrost.engine.holder import Holder
from permafrost.errors import Failed, Problem

END_S = 5.0
CGROUP_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


def end_process(holder: Holder) -> None:
    """Kill a process of this machine and its descendants; return when they are gone."""
    handles: list[int] = []
    try:
        first = _open(holder.pid)
        if first is None or not holder.is_alive():
            return
        handles.append(first)
        signal.pidfd_send_signal(first, signal.SIGSTOP)
        own = _own_cgroup(holder.pid)
        for pid in descendants(holder.pid):
            handle = _open(pid)
            if handle is not None:
                handles.append(handle)
        if own is not None:
            with suppress(OSError):
                (own / "cgroup.kill").write_text("1")
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        deadline = time.monotonic() + END_S
        for handle in handles:
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Failed(
                    Problem(
                        "HOLDER_NOT_ENDED",
                        f"{holder} had its time and cannot be ended",
                        hint="end it by hand; nothing was done",
                    )
                )
    finally:
        for handle in handles:
            os.close(handle)


def descendants(pid: int) -> list[int]:
    """Return all processes below one, children first found first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            if parent is not None:
                parents.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    pending = [pid]
    while pending:
        children = parents.get(pending.pop(), [])
        found += children
        pending += children
    return found


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _own_cgroup(pid: int) -> Path | None:
    """Return a process's cgroup if it holds nothing but the process and its descendants."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    path = next((line[4:] for line in lines if line.startswith("0::/")), "")
    for mount in CGROUP_MOUNTS:
        folder = mount / path
        if path and (folder / "cgroup.kill").exists():
            members = {int(p) for p in (folder / "cgroup.procs").read_text().split()}
            return folder if members <= {pid, *descendants(pid)} else None
    return None
