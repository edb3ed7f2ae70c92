"""What a lab costs: memory and CPU of each of its servers and machines, read from /proc."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.hypervisor.machine import machines
from lab.instance.cgroups import Cgroup
from lab.instance.model import Instance

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    """Return a process' memory, shared pages by its share of them, in MiB."""
    with suppress(OSError, StopIteration, ValueError):
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    return 0.0


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process and of its children that have ended, in seconds."""
    with suppress(OSError, ValueError, IndexError):
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / TICKS_PER_S
    return 0.0


def measure(instance: Instance, seconds: float) -> list[dict[str, Any]]:
    """Return for each part its processes, memory in MiB and CPU share (1 is one core)."""
    groups = parts(instance)
    before = {name: _cpu(group) for name, group in groups.items()}
    begun = time.monotonic()
    time.sleep(seconds)
    found = []
    for name, group in groups.items():
        took = time.monotonic() - begun
        pids = group.processes()
        found.append(
            {
                "name": name,
                "processes": len(pids),
                "pss_mib": round(sum(pss_mib(pid) for pid in pids), 1),
                "cpu": round(max(0.0, _cpu(group) - before[name]) / took, 4),
            }
        )
    return found


def parts(instance: Instance) -> dict[str, Cgroup]:
    """Return the control groups of the lab's running servers and machines by name."""
    servers = instance.group.path / "_services"
    found = {
        folder.name: Cgroup(folder) for folder in sorted(servers.iterdir()) if folder.is_dir()
    }
    found |= {machine.name: machine.group for machine in machines(instance)}
    return {name: group for name, group in found.items() if group.populated}


def _cpu(group: Cgroup) -> float:
    return sum(cpu_s(pid) for pid in group.processes())
