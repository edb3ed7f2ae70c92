"""Pulumi's own lock on a stack, left behind by a ``pulumi`` that was killed.

Only a lock of this machine whose process is gone is removed: whether another machine's still
runs cannot be known from here.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

CLOCK_SLACK_S = 5.0


@dataclass(frozen=True, slots=True)
class StackLock:
    """One lock file of the file backend."""

    path: Path
    pid: int
    machine: str
    taken_at: float

    def is_dead(self) -> bool:
        """Whether its process has ended; False where that cannot be known."""
        if self.machine != socket.gethostname():
            return False
        started = _started_at(self.pid)
        return started is None or started > self.taken_at + CLOCK_SLACK_S


def stack_locks(backend: Path, project: str, stack: str) -> tuple[StackLock, ...]:
    """Return the locks on one stack."""
    folder = backend / ".pulumi" / "locks" / "organization" / project / stack
    if not folder.is_dir():
        return ()
    return tuple(_read(path) for path in sorted(folder.glob("*.json")))


def _read(path: Path) -> StackLock:
    values = json.loads(path.read_text())
    taken = datetime.fromisoformat(_microseconds(str(values["timestamp"])))
    return StackLock(path, int(values["pid"]), str(values["hostname"]), taken.timestamp())


def _microseconds(text: str) -> str:
    """Cut Go's nanoseconds, which Python does not read."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"


def _started_at(pid: int) -> float | None:
    """Return when a process started, in seconds of the epoch; None when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return datetime.now().timestamp() - uptime + ticks
