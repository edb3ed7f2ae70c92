"""The ways back: to the other slot at once, to what held before an operation, or given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from permafrost.errors import Problem, Refused
from permafrost.planning.force import Force
from permafrost.planning.forced_switch import switch_problems
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release
from permafrost.planning.slot_problems import edge_problems, left_problems
from permafrost.planning.slot_steps import (
    cut_over_draft,
    empty_drafts,
    load_drafts,
    record_draft,
    unload_drafts,
)
from permafrost.planning.steps import Draft, OperationPlan, numbered
from permafrost.planning.upgrade_ways import Exchange, holders_of
from permafrost.site.model import Site
from permafrost.topology import replicas

ROLLBACK, RETIRE = "rollback", "retire"


def plan_rollback(
    site: Site,
    live: LiveState,
    name: str,
    *,
    records: Sequence[MaintenanceRecord] = (),
    force: Force | None = None,
    begun: Mapping[str, Any] | None = None,
) -> OperationPlan:
    """Return the switch back to the other slot; Refused when that slot cannot answer now.

    ``force``: what may be waived; the plan says what is. ``begun``: the facts of one that waits
    for its end. Begun again it goes where that went, also where that has got there: the other way
    would bring back what it was to end.
    """
    held = live.releases[name]
    to = str(begun["after"]["live"]) if begun else held.spare
    if to == held.live and _is_told_everywhere(live, name, to):
        note = f"slot {to} answers on every edge already"
        return OperationPlan(ROLLBACK, name, (), notes=(note,))
    if not held.kept:
        raise Refused(
            Problem(
                "ROLLBACK_NOTHING_KEPT",
                f"slot {held.spare} of {name} is empty: there is nothing loaded to go back to",
                name,
                f"`permafrost upgrade {name} --to` the checkpoint that served before",
            )
        )
    if to != held.live and held.is_bringing_in:
        raise Refused(
            Problem(
                "ROLLBACK_NOT_PROVEN",
                f"slot {held.spare} is being brought in and has not answered everybody yet",
                name,
                "finish that upgrade, or abort it",
            )
        )
    problems, waived = switch_problems(site, live, held, to, force)
    if problems:
        raise Refused(*problems)
    back = replace(held, live=to, previous="")
    return OperationPlan(
        ROLLBACK,
        name,
        numbered([cut_over_draft(held, back, force=force)]),
        basis=basis(site, live, name, back.checkpoint),
        facts={
            "before": begun["before"] if begun else held.as_dict(),
            "after": back.as_dict(),
            **({"force": force.value, "waived": list(waived)} if force else {}),
        },
        notes=(
            f"{back.checkpoint} is loaded in slot {back.live} and proven",
            *(f"waived: {what}" for what in waived),
            *(f"{edge} goes on with slot {back.spare} until `permafrost converge {edge}` tells it"
              for edge in sorted(live.traffic.unreachable)),
            *(f"{r.host} is in maintenance: its replicas come back by themselves"
              for r in records),
        ),
    )  # fmt: skip


def _is_told_everywhere(live: LiveState, name: str, slot: str) -> bool:
    """Whether every edge answers, and sends an endpoint's requests to a slot."""
    return not live.traffic.unreachable and set(live.traffic.live_slots(name).values()) == {slot}


def plan_retire(site: Site, live: LiveState, name: str) -> OperationPlan:
    """Return the steps that empty the slot that does not answer; none when it is empty."""
    held = live.releases[name]
    drafts = empty_drafts(site, held) if held.kept else ()
    if held.kept and (problems := [*edge_problems(live), *_emptied(site, live, held)]):
        raise Refused(*problems)
    return OperationPlan(
        RETIRE,
        name,
        numbered(drafts),
        basis=basis(site, live, name, held.kept),
        facts={"before": held.as_dict()},
        notes=(f"the way back to {held.kept} in seconds is given up",) if held.kept else (),
    )


def _emptied(site: Site, live: LiveState, held: Release) -> list[Problem]:
    """Return the replicas that would be left with nothing: they hold the other slot alone."""
    return [
        Problem(
            "RETIRE_LEAVES_NOTHING",
            f"it holds slot {held.spare} alone: an upgrade of {held.endpoint} has moved it and "
            "is not finished",
            node.name,
            "`permafrost history` names that upgrade: resume it, or abort it",
        )
        for node in replicas(site, held.endpoint)
        if (facts := live.nodes.get(node.name)) and set(facts.slots) == {held.spare}
    ]


def way_back(
    site: Site, live: LiveState, before: Release, target: str, *, force: Force | None = None
) -> OperationPlan:
    """Return what brings an endpoint back to a release whose slots are loaded, from what is seen.

    Edges first: nobody is sent to a slot any more when it is emptied. ``force``: the level under
    which the operation began, which waives the same on the way back; Refused what it does not,
    and where the end of a share would leave too few.
    """
    name = before.endpoint
    held = live.releases[name]
    drafts: list[Draft] = []
    waived: tuple[str, ...] = ()
    astray = {s for s in live.traffic.live_slots(name).values() if s != before.live}
    if force is not None:
        problems, waived = switch_problems(site, live, held, before.live, force)
        if problems:
            raise Refused(*(_as_told_back(p, name) for p in problems))
    if astray or held.live != before.live:
        back = replace(held, live=before.live, share=0, previous=before.previous)
        drafts.append(cut_over_draft(held, back, force=force))
    elif too_few := left_problems(site, live.traffic, before):
        raise Refused(*too_few)
    extra = [slot for slot in held.slots if slot not in before.slots]
    missing = [slot for slot in before.slots if slot not in held.slots]
    if missing:
        drafts.append(record_draft(replace(before, open=(before.live,)), "both slots"))
        for slot in missing:
            drafts += load_drafts(site, name, slot, before.slots[slot])
    slots = f"slots {', '.join(sorted(before.slots))}"
    drafts.append(record_draft(before, slots, force=force))
    for slot in extra:
        drafts += unload_drafts(site, name, slot)
    silent = sorted(live.traffic.unreachable) if force else ()
    return OperationPlan(
        "abort",
        target,
        numbered(drafts),
        facts={"force": force.value, "waived": list(waived)} if force else {},
        notes=(
            *(f"waived: {what}" for what in waived),
            *(f"{edge} goes on as it was told until `permafrost converge {edge}` tells it"
              for edge in silent),
        ),
    )  # fmt: skip


def _as_told_back(problem: Problem, name: str) -> Problem:
    """Return what stands in the way of taking a forced switch back, with what can be done."""
    if problem.code != "EDGE_UNREACHABLE":
        return problem
    hint = (
        f"bring it back (`permafrost status` shows its VM, `permafrost converge {problem.path}` "
        f"configures one that runs), then abort again; or `permafrost rollback {name} --force "
        "unseen` goes on and leaves it as it is"
    )
    return replace(problem, hint=hint)


def way_back_by_exchange(
    site: Site, live: LiveState, before: Release, target: str, *, owner: str, mixed: bool
) -> OperationPlan:
    """Return what brings every replica back to the one slot that it had, from what is seen."""
    name = before.endpoint
    held = live.releases[name]
    if any(s != before.live for s in live.traffic.live_slots(name).values()):
        # Cut between two edges: whatever the record says, clients go to the other slot.
        held = replace(held, live=held.live if held.live != before.live else held.spare)
    members = {n.name for n in replicas(site, name)}
    exchange = Exchange(
        site,
        held,
        before,
        owner,
        mixed,
        holders=holders_of(site, live, name, before.live, before.checkpoint),
        away={n for n, d in live.declared.items() if d.is_away and n in members},
    )
    return OperationPlan("abort", target, numbered(exchange.drafts()))


def basis(site: Site, live: LiveState, name: str, checkpoint: str) -> dict[str, object]:
    """Return what a plan about an endpoint's slots rests on."""
    held = live.releases[name].as_dict()
    return {
        "release": {k: held[k] for k in ("asked", "live", "slots", "open", "share")},
        "to": checkpoint,
        "serves": [n.name for n in replicas(site, name) if live.serves(n.name)],
        "edges": sorted(live.traffic.edges()),
    }
