"""Control groups as identity and power switch of machines and services.

A process can leave its parent, its session and its name behind, but not its group: what a group
holds *is* the machine, ``populated`` says whether it runs, and ``cgroup.kill`` ends all of it at
once. Works on a pure v2 tree and beside v1. Standard library only.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.instance.waiting import wait_until

MOUNTS = Path("/proc/self/mounts")
KILL_TIMEOUT_S = 15.0


def unified_root(mounts: Path = MOUNTS) -> Path:
    """Return where the v2 tree is mounted. Raises OSError where there is none."""
    for line in mounts.read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise OSError("no cgroup v2 tree is mounted")


def memory_root(mounts: Path = MOUNTS) -> Path | None:
    """Return where the v1 memory controller is mounted, if it is."""
    for line in mounts.read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(where)
    return None


def controller_roots(mounts: Path = MOUNTS) -> list[Path]:
    """Return where v1 hierarchies are mounted, systemd's own among them."""
    lines = [line.split() for line in mounts.read_text().splitlines()]
    return [Path(where) for _, where, kind, *_ in lines if kind == "cgroup"]


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One group of the v2 tree."""

    path: Path

    def create(self) -> None:
        """Make the group (and its parents), thawed."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.freeze(on=False)

    def _event(self, name: str) -> bool:
        try:
            lines = (self.path / "cgroup.events").read_text().splitlines()
        except OSError:
            return False
        return f"{name} 1" in lines

    @property
    def populated(self) -> bool:
        """Whether any process lives in the group or below it."""
        return self._event("populated")

    @property
    def frozen(self) -> bool:
        """Whether every process of the group stands still."""
        return self._event("frozen")

    def processes(self) -> list[int]:
        """Return the pids in the group and below it."""
        pids: list[int] = []
        for folder, _, _ in os.walk(self.path):
            with suppress(OSError):
                pids += [int(p) for p in (Path(folder) / "cgroup.procs").read_text().split()]
        return pids

    def freeze(self, *, on: bool) -> None:
        """Stop or go on with every process of the group."""
        with suppress(FileNotFoundError):
            (self.path / "cgroup.freeze").write_text("1" if on else "0")

    def kill(self, timeout_s: float = KILL_TIMEOUT_S) -> bool:
        """End every process of the group at once; True when none is left."""
        with suppress(FileNotFoundError):
            (self.path / "cgroup.kill").write_text("1")
        return bool(wait_until(lambda: not self.populated, timeout_s, 0.01))

    def prune(self) -> None:
        """Remove the empty groups below this one."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            if Path(folder) != self.path:
                with suppress(OSError):
                    Path(folder).rmdir()

    def remove(self) -> bool:
        """Remove the group and all below it; True when it is gone."""
        self.prune()
        with suppress(OSError):
            self.path.rmdir()
        return not self.path.exists()


def instance_group(lab_id: str) -> Cgroup:
    """Return the group that holds all of one lab."""
    return Cgroup(unified_root() / "permafrost" / lab_id)


def memory_group(lab_id: str, node: str) -> Path | None:
    """Return the v1 memory group of one machine, where v1 is in use."""
    root = memory_root()
    return root / "permafrost" / lab_id / node if root else None
