"""Which host holds which of the site's VMs, and what would be left without it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from permafrost.planning.lifecycle import ReplicaState


@dataclass(frozen=True, slots=True)
class Standing:
    """One VM of the site, where vCenter shows it. ``group``: its endpoint, or its tier.

    ``state``: of a replica alone.
    """

    name: str
    group: str
    host: str
    serves: bool
    gpus: tuple[str, ...] = ()
    state: ReplicaState | None = None


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host. ``keeps``: of each group with a VM here, how many serve that stand elsewhere."""

    name: str
    vms: tuple[Standing, ...]
    keeps: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "name": self.name,
            "vms": [{"name": vm.name, "group": vm.group} for vm in self.vms],
            "if_lost": dict(self.keeps),
        }


def hosts_of(standing: Iterable[Standing]) -> tuple[HostStatus, ...]:
    """Return the hosts that hold any of these VMs, by name; the VMs in the order given."""
    vms = tuple(standing)
    return tuple(_host(name, vms) for name in sorted({vm.host for vm in vms}))


def _host(name: str, vms: tuple[Standing, ...]) -> HostStatus:
    here = tuple(vm for vm in vms if vm.host == name)
    elsewhere = [vm.group for vm in vms if vm.serves and vm.host != name]
    keeps = {group: elsewhere.count(group) for group in dict.fromkeys(vm.group for vm in here)}
    return HostStatus(name, here, keeps)
