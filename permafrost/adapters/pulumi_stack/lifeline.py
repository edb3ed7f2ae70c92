"""Work that Pulumi runs for us ends when Pulumi ends.

The program (where hooks drain) and the convergence provider (where Ansible runs) are Python
processes of their own. When the engine above them is killed they would go on, without a lock and
with nobody to record what they did. So each watches the engine and ends at once with it.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from pathlib import Path

ENGINE = "pulumi"


def bind_to_engine() -> int | None:
    """End this process when the ``pulumi`` above it ends; return the engine's process id."""
    engine = ancestor_named(ENGINE)
    if engine is None:
        return None
    try:
        handle = os.pidfd_open(engine)
    except OSError:
        return None
    threading.Thread(target=_watch, args=(handle,), name="lifeline", daemon=True).start()
    return engine


def ancestor_named(name: str) -> int | None:
    """Return the nearest ancestor of this process with that command name."""
    pid = os.getppid()
    while pid > 1:
        stat = process_stat(pid)
        if stat is None:
            return None
        if stat[0] == name:
            return pid
        pid = stat[1]
    return None


def process_stat(pid: int) -> tuple[str, int] | None:
    """Return a process's command name and its parent; None when it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    return head.partition("(")[2], int(tail.split()[1])


def _watch(handle: int) -> None:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.poll()
    for child in _children(os.getpid()):
        _kill(child)
    os._exit(1)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        stat = process_stat(int(entry.name))
        if stat is not None and stat[1] == parent:
            pid = int(entry.name)
            found += [*_children(pid), pid]
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
