"""Who holds something: a process, named so that its death is certain knowledge.

A pid alone may be given to another process; boot id, pid and start time together are never
given twice.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from permafrost.engine.stored import reading


@dataclass(frozen=True, slots=True)
class Holder:
    """One process on one boot of one machine."""

    machine: str
    boot_id: str
    pid: int
    start_ticks: int

    @classmethod
    def me(cls) -> Holder:
        """Return this process."""
        return cls.of_process(os.getpid())

    @classmethod
    def of_process(cls, pid: int) -> Holder:
        """Return a process of this machine."""
        return cls(socket.gethostname(), _boot_id(), pid, _start_ticks(pid) or 0)

    @classmethod
    def from_text(cls, text: str) -> Holder:
        """Return what ``to_text`` wrote."""
        with reading("who holds something"):
            values = json.loads(text)
            return cls(
                str(values["machine"]),
                str(values["boot_id"]),
                int(values["pid"]),
                int(values["start_ticks"]),
            )

    def to_text(self) -> str:
        """Return a form for the database."""
        return json.dumps(asdict(self), sort_keys=True)

    def is_here(self) -> bool:
        """Whether this machine can tell if the process lives."""
        return self.machine == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether the process still runs; only meaningful when ``is_here``."""
        return self.boot_id == _boot_id() and _start_ticks(self.pid) == self.start_ticks

    def has_ended(self) -> bool:
        """Whether the process is known to run no more; of another machine's: never."""
        return self.is_here() and not self.is_alive()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine}"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_ticks(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])
