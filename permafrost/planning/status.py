"""The site as a person is shown it: who serves, where it stands, what a lost host would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from permafrost.planning.drift_report import Drift
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.planning.lifecycle import ReplicaState
from permafrost.planning.live import LiveState
from permafrost.planning.sent_nevertheless import Unfinished, what_to_do
from permafrost.planning.status_hosts import HostStatus, Standing, hosts_of
from permafrost.planning.status_parts import (
    EdgeStatus,
    EndpointStatus,
    RegistryStatus,
    ReplicaStatus,
)
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, edges, registry_node, replicas, service_address


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """The whole site."""

    site: str
    environment: str
    endpoints: tuple[EndpointStatus, ...]
    edges: tuple[EdgeStatus, ...]
    vip: str | None = None
    operation: dict[str, str] | None = None
    blind: str = ""
    drift: tuple[Drift, ...] = ()
    knowledge: KnowledgeStatus | None = None
    registry: RegistryStatus | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether every replica serves through every edge, one edge has the clients, the
        knowledge tier answers right, and a registry of the site's own answers.
        """
        all_serve = all(e.ready == len(e.replicas) for e in self.endpoints)
        reached = self.vip is None or len(self.vip_holders) == 1
        knows = self.knowledge is None or self.knowledge.is_ready
        feeds = self.registry is None or not self.registry.silent
        return all_serve and reached and knows and feeds and all(e.is_up for e in self.edges)

    @property
    def vip_holders(self) -> tuple[str, ...]:
        """The edges that hold the clients' address: one, unless something is wrong."""
        return tuple(e.name for e in self.edges if e.holds_vip)

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "site": self.site,
            "environment": self.environment,
            "healthy": self.is_healthy,
            "endpoints": [e.as_dict() for e in self.endpoints],
            "edges": [e.as_dict() for e in self.edges],
            "vip": {"address": self.vip, "holders": list(self.vip_holders)} if self.vip else None,
            "vcenter": {"state": "DOWN" if self.blind else "UP", "reason": self.blind},
            "knowledge": self.knowledge.as_dict() if self.knowledge else None,
            "registry": self.registry.as_dict() if self.registry else None,
            "hosts": [h.as_dict() for h in self.hosts],
            "operation": self.operation,
            "drift": [d.as_dict() for d in self.drift],
        }

    @property
    def hosts(self) -> tuple[HostStatus, ...]:
        """The hosts with what stands on each, and what would be left without it."""
        return hosts_of(self._standing())

    def _standing(self) -> Iterator[Standing]:
        for endpoint in self.endpoints:
            for r in endpoint.replicas:
                if r.host:
                    serves = r.state is ReplicaState.ADMITTED
                    yield Standing(r.name, endpoint.name, r.host, serves, r.gpus, r.state)
        for edge in self.edges:
            if edge.host:
                yield Standing(edge.name, Tier.EDGE, edge.host, edge.is_up)
        for member in self.knowledge.members if self.knowledge else ():
            if member["host"]:
                serves = not member["reason"]
                yield Standing(member["name"], Tier.KNOWLEDGE, member["host"], serves)
        if self.registry is not None and self.registry.host:
            serves = not self.registry.silent
            yield Standing(self.registry.name, Tier.REGISTRY, self.registry.host, serves)


def site_status(
    site: Site,
    live: LiveState,
    operation: dict[str, str] | None = None,
    drift: tuple[Drift, ...] = (),
    *,
    knowledge: KnowledgeStatus | None = None,
    silent: str = "",
    unfinished: Sequence[Unfinished] = (),
) -> SiteStatus:
    """Return the status that a snapshot shows; ``silent``: why the site's registry is.

    ``operation``: who is at work; ``unfinished``: operations that wait to be ended.
    """
    address = str(service_address(site))
    told = partial(what_to_do, site, live, unfinished=unfinished, is_held=operation is not None)
    return SiteStatus(
        site=site.site,
        environment=site.environment,
        endpoints=tuple(
            _endpoint(site, live, name, address, told) for name in sorted(site.inference)
        ),
        edges=tuple(_edge(live, e) for e in edges(site)),
        vip=address if site.edge.vip else None,
        operation=operation,
        blind="; ".join(p.message for p in live.blind),
        drift=drift,
        knowledge=knowledge,
        registry=_registry(site, live, silent),
    )


def _endpoint(
    site: Site, live: LiveState, name: str, address: str, told: Callable[[Node], str]
) -> EndpointStatus:
    endpoint = site.inference[name]
    members = tuple(_replica(live, node, told(node)) for node in replicas(site, name))
    serving = {r.checkpoint for r in members if r.state is ReplicaState.ADMITTED}
    return EndpointStatus(
        name=name,
        address=f"{address}:{endpoint.port}",
        live_checkpoint=serving.pop() if len(serving) == 1 else None,
        min_ready=endpoint.min_ready,
        replicas=members,
        release=live.releases.get(name),
    )


def _replica(live: LiveState, node: Node, to_do: str) -> ReplicaStatus:
    state, reason = live.state_of(node)
    vm = live.inventory.vm(node.name)
    facts = live.nodes.get(node.name)
    return ReplicaStatus(
        name=node.name,
        state=state,
        host=vm.host if vm else None,
        gpus=vm.gpus if vm else (),
        checkpoint=(facts.checkpoint or None) if facts else None,
        in_flight=live.in_flight(node.name),
        reason=f"{reason}: {to_do}" if to_do else reason,
        declared=live.declared.get(node.name),
    )


def _edge(live: LiveState, node: Node) -> EdgeStatus:
    vm = live.inventory.vm(node.name)
    answers = node.name in live.traffic.edges()
    reason = live.traffic.unreachable.get(node.name, "" if answers else "it has no backends")
    astray = _astray(live, node.name)
    return EdgeStatus(
        node.name,
        str(node.address),
        vm.host if vm else None,
        answers and not astray,
        reason or astray,
        node.name in live.traffic.vip_holders,
    )


def _registry(site: Site, live: LiveState, silent: str) -> RegistryStatus | None:
    node = registry_node(site)
    if node is None:
        return None
    vm = live.inventory.vm(node.name)
    is_on = None if live.blind else vm is not None and vm.is_on
    reason = "its VM is not on" if is_on is False else silent
    return RegistryStatus(node.name, str(node.address), vm.host if vm else None, is_on, reason)


def _astray(live: LiveState, edge: str) -> str:
    """Return where an edge sends an endpoint's requests although another slot is live."""
    seen = live.traffic.routes.get(edge)
    if not seen or not live.releases:
        return ""
    wrong = [
        f"{name} to slot {seen.get(name, 'none')}, live is {held.live}"
        for name, held in sorted(live.releases.items())
        if seen.get(name) != held.live
    ]
    told = f"sends {'; '.join(wrong)}: `permafrost deploy`, or finish what was begun"
    return told if wrong else ""
