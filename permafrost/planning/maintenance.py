"""Take a host, or a rack, away for maintenance and bring it back, as steps made from values.

Enter: recorded first (so that nobody takes a second one), edges and the site's registry moved to
other hosts while they run, replicas drained, their guests shut down, and only then maintenance
mode: a host with a passthrough VM that runs would never get there. Exit is the reverse, each
replica through the gate. A host that died meanwhile is left without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from permafrost.errors import Problem, Refused
from permafrost.planning.edge_target import emptiest_host, target_of
from permafrost.planning.evacuation import is_left_to_drs
from permafrost.planning.force import Force, waived_of
from permafrost.planning.lifecycle import MaintenanceRecord, MaintenanceState
from permafrost.planning.live import LiveState
from permafrost.planning.maintenance_steps import (
    MODE_S,
    POWER_S,
    TIER_S,
    Away,
    HostStep,
    is_member,
    move_draft,
    off_drafts,
    record_draft,
)
from permafrost.planning.replicas import DECLARE_S, admit_drafts, drain_drafts
from permafrost.planning.steps import Draft, OperationPlan, numbered
from permafrost.planning.stop_verdict import Verdict
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, nodes

ENTER, EXIT = "maintenance enter", "maintenance exit"
MAY_REMAIN = ("LAST_EDGE", "SERVICE_STOPS")
"""What speaks against stopping a host, but not against moving its VMs away first."""


def plan_enter(
    site: Site,
    live: LiveState,
    verdict: Verdict,
    *,
    owner: str,
    records: Sequence[MaintenanceRecord] = (),
    force: Force | None = None,
) -> OperationPlan:
    """Return the steps, or raise Refused with everything that speaks against it.

    ``force``: what may be waived; the plan says what is.
    """
    silent = frozenset(e for e in live.traffic.unreachable if not live.is_gone(e))
    problems, waived = waived_of(verdict, silent, force)
    mine = [r for r in records if r.host in verdict.hosts]
    is_whole = {r.host for r in mine} == set(verdict.hosts)
    is_in = is_whole and all(r.state is MaintenanceState.IN for r in mine)
    # What was closed since is no reason against what is in maintenance already.
    remains = (*MAY_REMAIN, "HOST_CLOSED") if is_in else MAY_REMAIN
    blockers = [p for p in problems if p.code not in remains]
    lost = [h for h in verdict.hosts if not _is_connected(live, h)]
    blockers += [
        Problem("HOST_NOT_CONNECTED", "vCenter has lost it", h, "it is down already") for h in lost
    ]
    if blockers:
        raise Refused(*blockers)
    if is_in:
        return OperationPlan(ENTER, verdict.name, (), notes=("it is in maintenance already",))
    away = _away(site, live, verdict, Away.of_records(mine))
    return OperationPlan(
        ENTER,
        verdict.name,
        numbered(_way_in(site, live, verdict.name, away, owner, force)),
        basis={
            "serves": {e.name: list(e.serves) for e in verdict.endpoints},
            "hosts": [[h.name, h.connected, h.in_maintenance] for h in live.inventory.hosts],
        },
        facts={
            **away.as_facts(),
            "endpoints": [e.as_dict() for e in verdict.endpoints],
            **({"force": force.value, "waived": list(waived)} if force else {}),
        },
        notes=(
            *(
                f"{e.name} stays served by {', '.join(e.serves) or 'nobody'}: "
                f"{e.in_flight} in flight, {e.places_left} places"
                for e in verdict.endpoints
            ),
            *(f"waived: {what}" for what in waived),
        ),
    )


def plan_exit(
    site: Site,
    live: LiveState,
    name: str,
    *,
    owner: str,
    records: Sequence[MaintenanceRecord],
    is_begun: bool = False,
) -> OperationPlan:
    """Return the way back of a host or rack; Refused when it is not in maintenance.

    A host in maintenance mode that is nobody's (it died, was left and came back; or somebody
    closed it by hand) is only opened. ``is_begun``: an exit of it waits for its end; records go
    last, so that nothing is left to do where there are none.
    """
    if live.blind:
        raise Refused(*live.blind)
    names = {r.name for r in records if name in (r.host, r.name)}
    mine = [r for r in records if r.name in names]
    facts = live.inventory.host(name)
    if not mine and facts is not None and facts.in_maintenance:
        return way_back(site, live, EXIT, name, Away((name,), (), {}, ()), owner=owner)
    if not mine and is_begun:
        return OperationPlan(EXIT, name, (), notes=("it is back already",))
    if not mine:
        known = ", ".join(f"{r.host} ({r.name})" for r in records) or "none"
        raise Refused(
            Problem("NOT_IN_MAINTENANCE", "it is not", name, f"in maintenance are: {known}")
        )
    return way_back(site, live, EXIT, name, Away.of_records(mine), owner=owner)


def way_back(
    site: Site, live: LiveState, command: str, name: str, away: Away, *, owner: str
) -> OperationPlan:
    """Return the steps that bring back what a maintenance took away."""
    dead = {h for h in away.hosts if not _is_connected(live, h)}
    by_name = {n.name: n for n in nodes(site)}
    lost = {n for n in away.powered if (vm := live.inventory.vm(n)) is None or vm.host in dead}
    alive = [h for h in away.hosts if h not in dead]
    drafts: list[Draft] = [
        record_draft(h, name, MaintenanceState.EXITING, owner, away) for h in away.hosts
    ]
    drafts += [Draft(HostStep.EXIT.value, host, MODE_S) for host in alive]
    drafts += [
        move_draft(vm, target, source)
        for vm, (source, target) in away.moved.items()
        if source in alive and live.inventory.vm(vm) is not None
    ]
    for node in away.powered:
        if node in lost:
            continue
        drafts.append(Draft(HostStep.POWER_ON.value, node, POWER_S))
        if is_member(by_name, node):
            drafts.append(Draft(HostStep.AWAIT_MEMBER.value, node, TIER_S, "whole, answers right"))
    for replica in away.replicas:
        if replica in lost:
            given = {"owner": owner, "reason": "its host died in maintenance"}
            why = "its host is dead"
            drafts.append(Draft(HostStep.GIVE_UP.value, replica, DECLARE_S, why, given))
        elif replica in by_name:
            drafts += admit_drafts(site, by_name[replica], owner=owner)
    drafts += [Draft(HostStep.FORGET.value, host, DECLARE_S) for host in away.hosts]
    notes = tuple(
        f"{host} is dead: it is left without it; its replicas stay out until they run again"
        for host in sorted(dead)
    )
    return OperationPlan(
        command,
        name,
        numbered(drafts),
        basis={"hosts": [[h.name, h.connected, h.in_maintenance] for h in live.inventory.hosts]},
        facts=away.as_facts(),
        notes=notes,
    )


def _moves_out(site: Site, live: LiveState, away: Away) -> list[Draft]:
    """Return the moves that are ours: the rest is done by the maintenance mode of the hosts."""
    return [
        move_draft(name, source, target)
        for name, (source, target) in away.moved.items()
        if (vm := live.inventory.vm(name)) is not None
        and not is_left_to_drs(site, live.inventory, vm, target)
    ]


def way_in_again(
    site: Site, live: LiveState, name: str, away: Away, *, owner: str
) -> OperationPlan:
    """Return the steps that take away again what an exit has begun to bring back."""
    return OperationPlan("abort", name, numbered(_way_in(site, live, name, away, owner)))


def _way_in(
    site: Site,
    live: LiveState,
    name: str,
    away: Away,
    owner: str,
    force: Force | None = None,
) -> list[Draft]:
    """Return the steps that take away what goes; one that the site no longer has is left."""
    by_name = {n.name: n for n in nodes(site)}
    reason = f"maintenance of {name}"
    drafts = [record_draft(h, name, MaintenanceState.ENTERING, owner, away) for h in away.hosts]
    drafts += _moves_out(site, live, away)
    for replica in away.replicas:
        if replica in by_name:
            drafts += drain_drafts(site, by_name[replica], owner=owner, reason=reason, force=force)
    drafts += off_drafts(site, away, force)
    drafts += [Draft(HostStep.ENTER.value, host, MODE_S) for host in away.hosts]
    drafts += [record_draft(h, name, MaintenanceState.IN, owner, away) for h in away.hosts]
    return drafts


def _away(site: Site, live: LiveState, verdict: Verdict, begun: Away) -> Away:
    """Return what goes; what an earlier try has taken away already comes back with it."""
    by_name = {n.name: n for n in nodes(site)}
    stopping = [by_name[name] for name in verdict.stops]
    machines = {vm.name: vm for vm in live.inventory.vms}
    # Nobody starts a replica whose VM was off before: it is left as it was, and not waited for.
    inference = [n for n in stopping if n.tier is Tier.INFERENCE and machines[n.name].is_on]
    # Members stand on data disks of their hosts' own and apart by rule: they go off and come back.
    off = [n for n in stopping if n.tier in (Tier.INFERENCE, Tier.KNOWLEDGE)]
    moved: dict[str, tuple[str, str]] = dict(begun.moved)
    for node in stopping:
        vm = machines[node.name]
        # One that an earlier try moved within what goes now, moves on; its way back stays.
        source, to = moved.get(node.name, (vm.host, vm.host))
        if not vm.is_on or to not in verdict.hosts:
            continue
        if node.tier is Tier.EDGE:
            moved[node.name] = (source, target_of(site, live, node, verdict, moved))
        if node.tier is Tier.REGISTRY:
            moved[node.name] = (source, emptiest_host(live, node, verdict))
    return Away(
        verdict.hosts,
        _with(begun.replicas, (n.name for n in inference if _is_to_come_back(live, n))),
        moved,
        _with(begun.powered, (n.name for n in off if machines[n.name].is_on)),
    )


def _with(begun: Iterable[str], found: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*begun, *found}))


def _is_to_come_back(live: LiveState, node: Node) -> bool:
    """What a person drained before stays drained; what was never admitted is not brought in."""
    declared = live.declared.get(node.name)
    return declared is not None and (not declared.is_away or declared.is_automatic)


def _is_connected(live: LiveState, host: str) -> bool:
    facts = live.inventory.host(host)
    return facts is not None and facts.connected
