"""The ways back: to the other slot at once, to what held before an operation, or given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from permafrost.errors import Problem, Refused
from permafrost.planning.force import Force
from permafrost.planning.forced_switch import switch_problems
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release
from permafrost.planning.slot_problems import edge_problems
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
) -> OperationPlan:
    """Return the switch back to the other slot; Refused when that slot cannot answer now.

    ``force``: what may be waived; the plan says what is.
    """
    held = live.releases[name]
    if not held.kept:
        raise Refused(
            Problem(
                "ROLLBACK_NOTHING_KEPT",
                f"slot {held.spare} of {name} is empty: there is nothing loaded to go back to",
                name,
                f"`permafrost upgrade {name} --to` the checkpoint that served before",
            )
        )
    if held.is_bringing_in:
        raise Refused(
            Problem(
                "ROLLBACK_NOT_PROVEN",
                f"slot {held.spare} is being brought in and has not answered everybody yet",
                name,
                "finish that upgrade, or abort it",
            )
        )
    problems, waived = switch_problems(site, live, held, held.spare, force)
    if problems:
        raise Refused(*problems)
    back = replace(held, live=held.spare, previous="")
    return OperationPlan(
        ROLLBACK,
        name,
        numbered([cut_over_draft(held, back, force=force)]),
        basis=basis(site, live, name, back.checkpoint),
        facts={
            "before": held.as_dict(),
            "after": back.as_dict(),
            **({"force": force.value, "waived": list(waived)} if force else {}),
        },
        notes=(
            f"{back.checkpoint} is loaded in slot {back.live} and proven",
            *(f"waived: {what}" for what in waived),
            *(f"{edge} goes on with slot {held.live} until `permafrost converge {edge}` tells it"
              for edge in sorted(live.traffic.unreachable)),
            *(f"{r.host} is in maintenance: its replicas come back by themselves"
              for r in records),
        ),
    )  # fmt: skip


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


def way_back(site: Site, live: LiveState, before: Release, target: str) -> OperationPlan:
    """Return what brings an endpoint back to a release whose slots are loaded, from what is seen.

    Edges first: nobody is sent to a slot any more when it is emptied.
    """
    name = before.endpoint
    held = live.releases[name]
    drafts: list[Draft] = []
    astray = {s for s in live.traffic.live_slots(name).values() if s != before.live}
    if astray or held.live != before.live:
        back = replace(held, live=before.live, share=0, previous=before.previous)
        drafts.append(cut_over_draft(held, back))
    extra = [slot for slot in held.slots if slot not in before.slots]
    missing = [slot for slot in before.slots if slot not in held.slots]
    if missing:
        drafts.append(record_draft(replace(before, open=(before.live,)), "both slots"))
        for slot in missing:
            drafts += load_drafts(site, name, slot, before.slots[slot])
    drafts.append(record_draft(before, f"slots {', '.join(sorted(before.slots))}"))
    for slot in extra:
        drafts += unload_drafts(site, name, slot)
    return OperationPlan("abort", target, numbered(drafts))


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
