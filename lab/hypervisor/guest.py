"""Looking into a running machine from outside: its first process, address and name."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.hypervisor.machine import Machine
from lab.instance.commands import run

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """What the guest made of its network configuration."""

    address: str
    prefix: int
    gateway: str
    hostname: str


def init_pid(machine: Machine) -> int | None:
    """Return the pid, as seen from here, of the guest's first process."""
    for pid in machine.group.processes():
        if _namespaced_pids(pid)[1:] == [1]:
            return pid
    return None


def nspawn_pid(machine: Machine) -> int | None:
    """Return the pid of the machine's systemd-nspawn, the only parent of the guest."""
    init = init_pid(machine)
    if init is None:
        return None
    with suppress(OSError, StopIteration, ValueError):
        status = (PROC / str(init) / "status").read_text().splitlines()
        parent = int(next(line for line in status if line.startswith("PPid:")).split()[1])
        if (PROC / str(parent) / "comm").read_text().strip() == "systemd-nspawn":
            return parent
    return None


def _namespaced_pids(pid: int) -> list[int]:
    with suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(p) for p in line.split()[1:]]
    return []


def network(machine: Machine) -> GuestNetwork | None:
    """Return the guest's IPv4 configuration once it has one."""
    init = init_pid(machine)
    if init is None:
        return None
    inside = ["nsenter", "--target", str(init), "--net", "--uts"]
    with suppress(LabError, ValueError, KeyError, IndexError):
        links = json.loads(
            run([*inside, "ip", "-json", "-4", "address", "show", "scope", "global"])
        )
        found = [info for link in links if link for info in link.get("addr_info", [])]
        if not found:
            return None
        routes = json.loads(
            run([*inside, "ip", "-json", "-4", "route", "show", "default"]) or "[]"
        )
        return GuestNetwork(
            address=found[0]["local"],
            prefix=int(found[0]["prefixlen"]),
            gateway=routes[0].get("gateway", "") if routes else "",
            hostname=run([*inside, "uname", "-n"]).strip(),
        )
    return None


def answers_ssh(address: str, timeout_s: float = 1.0) -> bool:
    """Whether an SSH server greets at an address."""
    with (
        suppress(OSError),
        socket.create_connection((address, 22), timeout=timeout_s) as connection,
    ):
        connection.settimeout(timeout_s)
        return connection.recv(4) == b"SSH-"
    return False
