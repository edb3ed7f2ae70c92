"""Where an edge, or the registry's VM, goes while its host is away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from permafrost.errors import Problem, Refused
from permafrost.planning.demand import domain_of
from permafrost.site.model import FailureDomainLevel, Site
from permafrost.topology import Node, Tier, edges, nodes

if TYPE_CHECKING:
    from permafrost.planning.live import LiveState
    from permafrost.planning.snapshot import VmFacts
    from permafrost.planning.stop_verdict import Verdict


def target_of(
    site: Site,
    live: LiveState,
    edge: Node,
    verdict: Verdict,
    moved: Mapping[str, tuple[str, str]],
) -> str:
    """Return the host for an edge: usable, without another edge, the emptiest, by name.

    Where edges are kept apart by rack or room, it is in the edge's own while that has one: the
    rule at vCenter prefers it. When all of that goes away, it is in one without another edge.
    """
    others = {n.name for n in nodes(site) if n.tier is Tier.EDGE and n.name != edge.name}
    taken = {vm.host for vm in live.inventory.vms if vm.name in others and vm.name not in moved}
    taken |= {target for _, target in moved.values()}
    usable = [
        h.name
        for h in live.inventory.hosts
        if h.is_usable and h.name not in verdict.hosts and h.name not in taken
    ]
    candidates = _of_its_domain(site, live, edge, usable) or _of_free_domains(site, usable, taken)
    if not candidates:
        raise Refused(
            Problem(
                "EDGE_CANNOT_MOVE",
                "no other host may take it: each is away, has an edge, "
                "or stands in the failure domain of one",
                edge.name,
                "bring a host back first",
            )
        )
    return min(candidates, key=lambda h: (_load(live.inventory.vms, h), h))


def emptiest_host(live: LiveState, node: Node, verdict: Verdict) -> str:
    """Return the host for the registry's VM: usable, the emptiest, by name. It is kept from none.

    Raises Refused (REGISTRY_CANNOT_MOVE) where no host is left.
    """
    usable = [h.name for h in live.inventory.hosts if h.is_usable and h.name not in verdict.hosts]
    if not usable:
        raise Refused(
            Problem(
                "REGISTRY_CANNOT_MOVE", "every other host is away", node.name,
                "bring a host back first",
            )
        )  # fmt: skip
    return min(usable, key=lambda h: (_load(live.inventory.vms, h), h))


def _of_its_domain(site: Site, live: LiveState, edge: Node, hosts: list[str]) -> list[str]:
    vm = live.inventory.vm(edge.name)
    if site.failure_domains.level is FailureDomainLevel.HOST or vm is None or len(edges(site)) < 2:
        return hosts
    return [h for h in hosts if domain_of(site, h) == domain_of(site, vm.host)]


def _of_free_domains(site: Site, hosts: list[str], taken: set[str]) -> list[str]:
    with_edge = {domain_of(site, host) for host in taken}
    return [h for h in hosts if domain_of(site, h) not in with_edge]


def _load(machines: Iterable[VmFacts], host: str) -> int:
    return sum(vm.host == host and vm.is_on for vm in machines)
