"""May this be stopped now, and what stops with it? A replica, a VM, a host, a rack.

A pure function of the site, one snapshot and the records: it says who goes on serving, how much
room they have for what is in flight now, which other maintenance is under way, and everything
that speaks against it. It promises nothing of the next minute: who stops something asks again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permafrost.errors import Problem, Refused
from permafrost.planning.invariants import (
    domain_problems,
    floor_problems,
    quorum_problems,
    serving_without,
)
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.planning.knowledge_stop import knowledge_stop_problems
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.placement import Placement
from permafrost.planning.snapshot import VmFacts
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, nodes, registry_node


class Kind(StrEnum):
    """What is asked about."""

    REPLICA = "replica"
    VM = "vm"
    HOST = "host"
    RACK = "rack"


@dataclass(frozen=True, slots=True)
class EndpointLeft:
    """One endpoint as it would be. ``places_left``: requests that the rest take at once.

    ``each_would_have``: what is in flight now, spread evenly over the rest; ``each_has_had``: the
    most that one of them was seen with at one time by one edge, so that what a site file promises
    is told apart from what was measured.
    """

    name: str
    stops: tuple[str, ...]
    serves: tuple[str, ...]
    min_ready: int
    in_flight: int
    places_left: int
    each_would_have: int = 0
    each_has_had: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "endpoint": self.name,
            "stops": list(self.stops),
            "serves": list(self.serves),
            "min_ready": self.min_ready,
            "in_flight": self.in_flight,
            "places_left": self.places_left,
            "each_would_have": self.each_would_have,
            "each_has_had": self.each_has_had,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer with its evidence. ``movable`` are VMs on a host that vCenter may move."""

    kind: Kind
    name: str
    hosts: tuple[str, ...]
    stops: tuple[str, ...]
    others: tuple[str, ...]
    movable: tuple[str, ...]
    endpoints: tuple[EndpointLeft, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "kind": self.kind.value,
            "name": self.name,
            "ok": self.is_ok,
            "hosts": list(self.hosts),
            "stops": list(self.stops),
            "others": list(self.others),
            "movable": list(self.movable),
            "endpoints": [e.as_dict() for e in self.endpoints],
            "problems": [p.as_dict() for p in self.problems],
            "notes": list(self.notes),
        }


def hosts_named(site: Site, live: LiveState, name: str) -> tuple[str, ...]:
    """Return a host, or the hosts of a rack; Refused (HOST_UNKNOWN) lists the known ones."""
    labels = getattr(site, "hosts", None) or {}
    of_rack = tuple(sorted(h for h, at in labels.items() if getattr(at, "rack", None) == name))
    if of_rack:
        return of_rack
    if live.inventory.host(name) is not None:
        return (name,)
    known = [h.name for h in live.inventory.hosts]
    racks = sorted({str(at.rack) for at in labels.values() if getattr(at, "rack", None)})
    raise Refused(
        Problem(
            "HOST_UNKNOWN",
            "the cluster has no such host, the site no such rack",
            name,
            f"hosts are: {', '.join(known)}; racks are: {', '.join(racks) or 'none'}",
        )
    )


def ok_to_stop(
    site: Site,
    live: LiveState,
    kind: Kind,
    name: str,
    *,
    recorded: Placement,
    records: Iterable[MaintenanceRecord] = (),
    services: Iterable[tuple[str, str]] = (),
    knowledge: KnowledgeStatus | None = None,
) -> Verdict:
    """Return what stopping this means.

    ``services``: (what, address) of vCenter, the registry and the orchestrator's own machine;
    one whose address is that of a VM stops with the VM. ``knowledge``: how that tier was seen.
    """
    if live.blind and kind is not Kind.REPLICA:
        raise Refused(*live.blind)
    hosts, machines = _what_stops(site, live, kind, name)
    stopping = [n for n in nodes(site) if n.name in machines]
    known = {n.name for n in nodes(site)}
    on_them = [vm for vm in live.inventory.vms if vm.name in machines]
    is_host = kind in (Kind.HOST, Kind.RACK)
    movable = tuple(vm.name for vm in on_them if is_host and not vm.gpus and vm.is_on)
    touched = {vm.host for vm in on_them}
    own = registry_node(site)
    problems = [
        *floor_problems(site, live, stopping),
        *domain_problems(records, {*hosts, *touched}),
        *quorum_problems(site, live, machines),
        *_edge_problems(live, site, stopping),
        *knowledge_stop_problems(site, stopping, knowledge),
        *_service_problems(on_them, services, own),
        *_drift(site, live, recorded, machines, records),
    ]
    endpoints = tuple(_left(site, live, e, stopping) for e in sorted(site.inference))
    touched_endpoints = tuple(e for e in endpoints if e.stops)
    problems += [
        Problem(
            "CAPACITY_TOO_SMALL",
            f"{e.name} has {e.in_flight} requests in flight; {', '.join(e.serves)} take "
            f"{e.places_left} at once",
            e.name,
            "wait for a quieter hour, or give the endpoint more replicas",
        )
        for e in touched_endpoints
        if e.in_flight > e.places_left and e.serves
    ]
    return Verdict(
        kind,
        name,
        hosts,
        tuple(n.name for n in stopping),
        tuple(sorted(m for m in machines if m not in known)),
        movable,
        touched_endpoints,
        tuple(problems),
        (*_notes(live, touched_endpoints), *_registry_notes(on_them, own, is_host=is_host)),
    )


def _what_stops(
    site: Site, live: LiveState, kind: Kind, name: str
) -> tuple[tuple[str, ...], set[str]]:
    if kind in (Kind.REPLICA, Kind.VM):
        known = {n.name for n in nodes(site) if kind is Kind.VM or n.tier is Tier.INFERENCE}
        if kind is Kind.VM:
            known |= {vm.name for vm in live.inventory.vms}
        if name not in known:
            code = f"{kind.value.upper()}_UNKNOWN"
            hint = f"known are: {', '.join(sorted(known))}"
            raise Refused(Problem(code, f"there is no such {kind.value}", name, hint))
        return (), {name}
    hosts = hosts_named(site, live, name)
    if kind is Kind.HOST and hosts != (name,):
        raise Refused(Problem("HOST_UNKNOWN", "it is a rack", name, f"ask `rack {name}`"))
    return hosts, {vm.name for vm in live.inventory.vms if vm.host in hosts}


def _left(site: Site, live: LiveState, name: str, stopping: Iterable[Node]) -> EndpointLeft:
    endpoint = site.inference[name]
    stops = tuple(n.name for n in stopping if n.endpoint == name)
    serves = serving_without(site, live, name, stops)
    in_flight = sum(live.in_flight(n.name) for n in nodes(site) if n.endpoint == name)
    places = len(serves) * endpoint.max_concurrent
    each = -(-in_flight // len(serves)) if serves else 0
    had = max((s.most_at_once for r in serves for s in live.traffic.of(r)), default=0)
    return EndpointLeft(name, stops, serves, endpoint.min_ready, in_flight, places, each, had)


def _notes(live: LiveState, endpoints: Iterable[EndpointLeft]) -> tuple[str, ...]:
    blind = ["vCenter does not answer: where machines stand is not known"] if live.blind else []
    untried = [
        f"{e.name}: {', '.join(e.serves)} would have {e.each_would_have} requests each at once; "
        f"the most that one of them was seen with is {e.each_has_had}"
        for e in endpoints
        if e.each_would_have > e.each_has_had
    ]
    return (*blind, *untried)


def _registry_notes(
    machines: Iterable[VmFacts], registry: Node | None, *, is_host: bool
) -> tuple[str, ...]:
    """Say what it means that the VM goes that is the site's registry."""
    if registry is None or not any(vm.name == registry.name for vm in machines):
        return ()
    goes = "moves to another host while it runs" if is_host else "stops"
    return (
        f"{registry.name}, the site's registry, {goes}: replicas serve on without it; until it "
        "answers again nothing is fetched, so no deployment and no upgrade",
    )


def _edge_problems(live: LiveState, site: Site, stopping: Iterable[Node]) -> list[Problem]:
    going = {n.name for n in stopping if n.tier is Tier.EDGE}
    if not going & live.traffic.edges() or live.traffic.edges() - going:
        return []
    return [
        Problem(
            "LAST_EDGE",
            f"clients reach {', '.join(sorted(site.inference))} through it alone",
            ", ".join(sorted(going)),
            "`permafrost maintenance enter HOST` moves it to another host while it runs",
        )
    ]


def _service_problems(
    machines: Iterable[VmFacts], services: Iterable[tuple[str, str]], registry: Node | None
) -> list[Problem]:
    """Return what the site cannot do without; its own registry is no such thing."""
    own = registry.name if registry is not None else ""
    at = {vm.address: vm for vm in machines if vm.address and vm.name != own}
    return [
        Problem(
            "SERVICE_STOPS",
            f"{what} runs on it ({address})",
            at[address].name,
            "move that VM to another host first",
        )
        for what, address in services
        if address in at
    ]


def _drift(
    site: Site,
    live: LiveState,
    recorded: Placement,
    machines: Collection[str],
    records: Iterable[MaintenanceRecord],
) -> list[Problem]:
    """A VM with a device that is not where it was placed: who stands where is not as planned."""
    away = {name.partition("=")[0] for r in records for name in r.moved}
    members = {n.endpoint for n in nodes(site) if n.name in machines}
    problems = []
    for node in nodes(site):
        slot, vm = recorded.get(node.name), live.inventory.vm(node.name)
        if slot is None or vm is None or node.name in away or node.endpoint not in members:
            continue
        if vm.gpus and vm.host != slot.host:
            problems.append(
                Problem(
                    "PLACEMENT_DRIFT",
                    f"is on {vm.host}, was placed on {slot.host}",
                    node.name,
                    "`permafrost plan` shows what a deployment would do",
                )
            )
    return problems
