"""Looking into a running machine from outside: its first process, address and name."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.hypervisor.machine import Machine
from lab.instance.commands import run

PROC = Path("/proc")
SSH_PORT = 22
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """What the guest made of its network configuration."""

    address: str
    prefix: int
    gateway: str
    hostname: str
    addresses: tuple[str, ...] = ()
    """All of its card, the first one too; not those of bridges that the guest has made."""


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
        cards = [link["addr_info"] for link in links if link and link.get("addr_info")]
        if not cards:
            return None
        found = cards[0]
        routes = json.loads(
            run([*inside, "ip", "-json", "-4", "route", "show", "default"]) or "[]"
        )
        return GuestNetwork(
            address=found[0]["local"],
            prefix=int(found[0]["prefixlen"]),
            gateway=routes[0].get("gateway", "") if routes else "",
            hostname=run([*inside, "uname", "-n"]).strip(),
            addresses=tuple(info["local"] for info in found),
        )
    return None


def has_settled(machine: Machine) -> bool:
    """Whether the guest's first minute is over, seen from inside: its network may be cut.

    cloud-init restarts the SSH server late in a first boot, and until the boot has come far
    enough only root may log in: who relied on the first greeting would be thrown out again.
    """
    init = init_pid(machine)
    if init is None:
        return False
    run_dir = PROC / str(init) / "root/run"
    through = (run_dir / "cloud-init/result.json").exists()
    return through and not (run_dir / "nologin").exists() and _listens(init, SSH_PORT)


def _listens(init: int, port: int) -> bool:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / str(init) / "net" / table).read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False
