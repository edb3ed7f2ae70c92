"""Which way an endpoint gets another checkpoint, and the steps of it.

*Side by side*: both slots of every replica are loaded, the new one proven on each, then every edge
is told; no capacity is missing at any moment, and the old slot stays loaded: the way back is the
same switch. *Cut-over*: part of the replicas is moved and proven while the rest serves, then every
edge is told, then the rest is moved; it needs twice ``min_ready``. *Rolling*: one after another;
both versions answer meanwhile. The last two are chosen and explained, and not carried out yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from permafrost.errors import Problem, Refused
from permafrost.facts import CheckpointFacts
from permafrost.planning.fitting import Accept, client_problems, fit_beside
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release
from permafrost.planning.slot_problems import edge_problems, ready_problems, serving_problems
from permafrost.planning.slot_steps import (
    cut_over_draft,
    empty_drafts,
    load_drafts,
    record_draft,
    unload_drafts,
)
from permafrost.planning.steps import Draft, OperationPlan, numbered
from permafrost.site.model import Endpoint, Site
from permafrost.topology import replicas

UPGRADE, ROLLBACK, RETIRE = "upgrade", "rollback", "retire"


class Strategy(StrEnum):
    """How an endpoint gets another checkpoint."""

    SIDE_BY_SIDE = "side by side"
    CUT_OVER = "cut-over"
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class Choice:
    """The way that was chosen, and why; ``refusal`` where there is none."""

    strategy: Strategy | None
    why: tuple[str, ...]


def choose(endpoint: Endpoint, *, beside: bool, why: str, allow_mixed: bool) -> Choice:
    """Choose from room on the devices, replicas and spare capacity, the safest that can be had."""
    spare = endpoint.replicas - endpoint.min_ready
    said = [f"both on every replica: {'they fit' if beside else 'they do not fit'}: {why}"]
    if beside:
        return Choice(Strategy.SIDE_BY_SIDE, tuple(said))
    enough = endpoint.replicas >= 2 * endpoint.min_ready
    said.append(
        f"part of {endpoint.replicas} replicas at a time, twice min_ready {endpoint.min_ready}: "
        f"{'enough' if enough else 'too few'}"
    )
    if enough:
        return Choice(Strategy.CUT_OVER, tuple(said))
    said.append(
        f"one after another, {spare} to spare, mixed versions "
        f"{'allowed' if allow_mixed else 'not allowed (--allow-mixed)'}"
    )
    return Choice(Strategy.ROLLING if spare > 0 and allow_mixed else None, tuple(said))


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator asked for."""

    owner: str
    accepted: frozenset[Accept] = frozenset()
    allow_mixed: bool = False


def plan_upgrade(
    site: Site,
    live: LiveState,
    name: str,
    *,
    old: CheckpointFacts,
    new: CheckpointFacts,
    wish: Wish,
    records: Sequence[MaintenanceRecord] = (),
) -> OperationPlan:
    """Return the steps; Refused, naming all that stands in the way, when there is no way."""
    held, endpoint = live.releases[name], site.inference[name]
    if new.digest == held.checkpoint:
        raise Refused(
            Problem("UPGRADE_SAME_CHECKPOINT", f"{name} serves {new.digest} already", name,
                    "`permafrost status` shows it")
        )  # fmt: skip
    fit = fit_beside(endpoint, old, new)
    beside = fit.fits or (not fit.is_known and Accept.MEMORY in wish.accepted)
    choice = choose(endpoint, beside=beside, why=fit.why, allow_mixed=wish.allow_mixed)
    problems = [
        *serving_problems(site, live, name),
        *_maintenance_problems(records),
        *client_problems(endpoint, old, new, wish.accepted),
    ]
    if held.kept not in ("", new.digest):
        problems.append(
            Problem(
                "UPGRADE_SLOT_TAKEN",
                f"slot {held.spare} still has {held.kept}, the way back of {name}",
                name,
                f"`permafrost retire {name}` gives that up; then upgrade",
            )
        )
    if choice.strategy is not Strategy.SIDE_BY_SIDE:
        problems.append(_no_way(name, choice, is_known=fit.is_known))
    if problems:
        raise Refused(*problems)
    made = replace(
        held, slots={held.live: held.checkpoint, held.spare: new.digest}, open=(held.live,)
    )
    opened = replace(made, live=held.spare, open=tuple(sorted(made.slots)))
    drafts = [
        record_draft(made, "both slots"),
        *load_drafts(site, name, held.spare, new.digest),
        cut_over_draft(made, opened),
    ]
    return OperationPlan(
        UPGRADE,
        name,
        numbered(drafts),
        basis=_basis(site, live, name, new.digest),
        facts={
            "strategy": Strategy.SIDE_BY_SIDE.value,
            "before": held.as_dict(),
            "after": opened.as_dict(),
            "accepted": sorted(wish.accepted),
            "why": list(choice.why),
            "collections": "not touched: no knowledge depends on this model's weights",
        },
        notes=(
            f"{Strategy.SIDE_BY_SIDE.value}: " + "; ".join(choice.why),
            f"the old checkpoint stays in slot {held.live}: `permafrost rollback {name}`",
        ),
    )


def plan_rollback(
    site: Site, live: LiveState, name: str, *, records: Sequence[MaintenanceRecord] = ()
) -> OperationPlan:
    """Return the switch back to the other slot; Refused when that slot cannot answer now."""
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
    if held.spare not in held.open:
        raise Refused(
            Problem(
                "ROLLBACK_NOT_PROVEN",
                f"slot {held.spare} is being brought in and has not answered anybody yet",
                name,
                "finish that upgrade, or abort it",
            )
        )
    problems = [*edge_problems(live), *ready_problems(site, live, held, held.spare)]
    if problems:
        raise Refused(*problems)
    back = replace(held, live=held.spare)
    return OperationPlan(
        ROLLBACK,
        name,
        numbered([cut_over_draft(held, back)]),
        basis=_basis(site, live, name, back.checkpoint),
        facts={"before": held.as_dict(), "after": back.as_dict()},
        notes=(
            f"{back.checkpoint} is loaded in slot {back.live} and proven",
            *(f"{r.host} is in maintenance: its replicas come back by themselves"
              for r in records),
        ),
    )  # fmt: skip


def plan_retire(site: Site, live: LiveState, name: str) -> OperationPlan:
    """Return the steps that empty the slot that does not answer; none when it is empty."""
    held = live.releases[name]
    drafts = empty_drafts(site, held) if held.kept else ()
    if held.kept and (problems := edge_problems(live)):
        raise Refused(*problems)
    return OperationPlan(
        RETIRE,
        name,
        numbered(drafts),
        basis=_basis(site, live, name, held.kept),
        facts={"before": held.as_dict()},
        notes=(f"the way back to {held.kept} is given up",) if held.kept else (),
    )


def way_back(site: Site, live: LiveState, before: Release, target: str) -> OperationPlan:
    """Return what brings an endpoint back to a release whose slots are loaded, from what is seen.

    Edges first: nobody is sent to a slot any more when it is emptied.
    """
    name = before.endpoint
    held = live.releases[name]
    drafts: list[Draft] = []
    astray = {s for s in live.traffic.live_slots(name).values() if s != before.live}
    if astray or held.live != before.live:
        drafts.append(cut_over_draft(held, replace(held, live=before.live)))
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


def _maintenance_problems(records: Iterable[MaintenanceRecord]) -> list[Problem]:
    return [
        Problem("OTHER_MAINTENANCE", f"{r.host} is in maintenance ({r.state.value}, {r.owner})",
                r.host, f"end it first: `permafrost maintenance exit {r.name}`")
        for r in records
    ]  # fmt: skip


def _no_way(name: str, choice: Choice, *, is_known: bool) -> Problem:
    said = "; ".join(choice.why)
    if choice.strategy is None:
        unknown = "`--accept memory` if both fit for sure; " if not is_known else ""
        return Problem(
            "UPGRADE_NO_CAPACITY",
            f"there is no way to change {name} that keeps min_ready: {said}",
            name,
            f"{unknown}give the endpoint more replicas, or allow mixed versions (--allow-mixed)",
        )
    hint = (
        "`permafrost deploy` with the new pin moves one replica after another, with both "
        f"versions answering meanwhile; or give {name} devices that hold both"
    )
    way = choice.strategy.value
    return Problem(
        "UPGRADE_STRATEGY_UNSUPPORTED",
        f"{way} is the way, and is not built yet: {said}",
        name,
        hint,
    )


def _basis(site: Site, live: LiveState, name: str, checkpoint: str) -> dict[str, object]:
    held = live.releases[name].as_dict()
    return {
        "release": {k: held[k] for k in ("asked", "live", "slots", "open")},
        "to": checkpoint,
        "serves": [n.name for n in replicas(site, name) if live.serves(n.name)],
        "edges": sorted(live.traffic.edges()),
    }
