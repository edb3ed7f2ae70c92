"""What DRS does by itself where it is fully automated and VMs have a rack that they prefer."""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.planning.cluster import AUTOMATED
from permafrost.planning.demand import domain_of
from permafrost.site.model import FailureDomainLevel
from tests.fakes.machine import Machine
from tests.fakes.world import World


def brings_back(world: World, machine: Machine, to: str) -> bool:
    """Whether a VM that is moved out of its rack is there again a moment later."""
    if not _is_automated(world) or world.site.failure_domains.level is FailureDomainLevel.HOST:
        return False
    home = domain_of(world.site, machine.home)
    leaves = domain_of(world.site, to) != home
    return leaves and any(domain_of(world.site, h) == home for h in _open(world))


def empties(world: World, host: str) -> None:
    """Move away what may move, from a host that enters maintenance mode."""
    for machine in world.machines.values():
        if machine.host == host and machine.is_on and not machine.gpus and _is_automated(world):
            taken = {m.host for m in world.machines.values() if not m.gpus}
            home = domain_of(world.site, machine.home)
            found = [h for h in _open(world) if h != host and h not in taken]
            found.sort(key=lambda h: domain_of(world.site, h) != home)
            if found:
                machine.host = found[0]


def _open(world: World) -> Iterator[str]:
    return (name for name, host in world.hosts.items() if host.is_usable)


def _is_automated(world: World) -> bool:
    return world.cluster.drs_enabled and world.cluster.drs_automation == AUTOMATED
