"""May this be stopped now, and what stops with it? A replica, a VM, a host, a rack.

A pure function of the site, one snapshot and the records: it says who goes on serving, how much
room they have for what is in flight now, which other maintenance is under way, and everything
that speaks against it. It promises nothing of the next minute: who stops something asks again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from permafrost.errors import Problem, Refused
from permafrost.planning.invariants import (
    closed_problems,
    domain_problems,
    floor_problems,
    quorum_problems,
    serving_without,
)
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.planning.knowledge_stop import knowledge_stop_problems
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.lookup import hosts_named, is_rack
from permafrost.planning.placement import Placement
from permafrost.planning.snapshot import VmFacts
from permafrost.planning.stop_verdict import EndpointLeft, Kind, Verdict
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, nodes, registry_node


def ok_to_stop(
    site: Site,
    live: LiveState,
    kind: Kind,
    name: str,
    *,
    recorded: Placement,
    records: Sequence[MaintenanceRecord] = (),
    services: Collection[tuple[str, str]] = (),
    knowledge: KnowledgeStatus | None = None,
) -> Verdict:
    """Return what stopping this means.

    ``services``: (what, address) of vCenter, the registry and the orchestrator's own machine;
    one whose address is among those of a VM stops with the VM; without an address it is not known
    where it is, and that is said. ``knowledge``: how that tier was seen.
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
        *closed_problems(site, live, records, {*hosts, *touched}),
        *_unseen_hosts(live, hosts),
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
        (
            *_notes(live, touched_endpoints),
            *_registry_notes(on_them, own, is_host=is_host),
            *(() if kind is Kind.REPLICA else _unplaced_services(services)),
        ),
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
    if kind is Kind.RACK and not is_rack(site, name):
        raise Refused(Problem("RACK_UNKNOWN", "it is a host", name, f"ask `host {name}`"))
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


def _unseen_hosts(live: LiveState, hosts: Iterable[str]) -> list[Problem]:
    """Return the hosts of a rack that vCenter does not show: what is on them is not looked at."""
    return [
        Problem(
            "HOST_UNKNOWN",
            "the site file puts it into this rack, and the cluster has no such host",
            host,
            "correct its name in `hosts`: what really stands in the rack was not looked at",
        )
        for host in hosts
        if live.inventory.host(host) is None
    ]


def _service_problems(
    machines: Iterable[VmFacts], services: Iterable[tuple[str, str]], registry: Node | None
) -> list[Problem]:
    """Return what the site cannot do without; its own registry is no such thing."""
    own = registry.name if registry is not None else ""
    at = {address: vm for vm in machines if vm.name != own for address in vm.stands_at}
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


def _unplaced_services(services: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(
        f"where {what} runs is not known: it may be on what is asked about"
        for what, address in services
        if not address
    )


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
