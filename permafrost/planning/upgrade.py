"""Which way an endpoint gets another checkpoint, and what stands against it.

*Side by side*: both slots of every replica are loaded, the new one proven on each, then every edge
is told; no capacity is missing at any moment, and the old slot stays loaded: the way back is the
same switch. *Cut-over*: part of the replicas is moved and proven while the rest serves, then every
edge is told, then the rest is moved; it needs twice ``min_ready``. *Rolling*: one after another;
both versions answer meanwhile. The steps of each: ``upgrade_ways``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from permafrost.errors import Problem, Refused
from permafrost.facts import CheckpointFacts
from permafrost.planning.canary import Canary
from permafrost.planning.fitting import client_problems, fit_beside
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release
from permafrost.planning.slot_problems import serving_problems
from permafrost.planning.steps import Draft, OperationPlan, numbered
from permafrost.planning.upgrade_back import basis
from permafrost.planning.upgrade_ways import Exchange, beside_drafts
from permafrost.planning.upgrade_words import Accept, Strategy
from permafrost.site.model import Endpoint, Site

UPGRADE = "upgrade"


@dataclass(frozen=True, slots=True)
class Choice:
    """The way that was chosen, and why; None where there is none."""

    strategy: Strategy | None
    why: tuple[str, ...]


def choose(
    endpoint: Endpoint,
    *,
    beside: bool,
    why: str,
    allow_mixed: bool,
    asked: Strategy | None = None,
) -> Choice:
    """Choose from room on the devices, replicas and spare capacity, the safest that can be had.

    ``asked``: the way that an operator wants, where it can be had; else None.
    """
    spare = endpoint.replicas - endpoint.min_ready
    enough = endpoint.replicas >= 2 * endpoint.min_ready
    said = [f"both on every replica: {'they fit' if beside else 'they do not fit'}: {why}"]
    part = (
        f"part of {endpoint.replicas} replicas at a time, twice min_ready {endpoint.min_ready}: "
        f"{'enough' if enough else 'too few'}"
    )
    rolls = (
        f"one after another, {spare} to spare, mixed versions "
        f"{'allowed' if allow_mixed else 'not allowed (--allow-mixed)'}"
    )
    can = {
        Strategy.SIDE_BY_SIDE: beside,
        Strategy.CUT_OVER: enough,
        Strategy.ROLLING: spare > 0 and allow_mixed,
    }
    if asked is not None:
        told = dict(zip(Strategy, (said[0], part, rolls), strict=True))[asked]
        return Choice(asked if can[asked] else None, (f"{asked.value} was asked for", told))
    if beside:
        return Choice(Strategy.SIDE_BY_SIDE, tuple(said))
    if enough:
        return Choice(Strategy.CUT_OVER, (*said, part))
    return Choice(Strategy.ROLLING if can[Strategy.ROLLING] else None, (*said, part, rolls))


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator asked for. ``pins_s``: so long old pins are kept where memory is short."""

    owner: str
    accepted: frozenset[Accept] = frozenset()
    allow_mixed: bool = False
    way: Strategy | None = None
    canary: Canary | None = None
    pins_s: float = 0.0


def plan_upgrade(
    site: Site,
    live: LiveState,
    name: str,
    *,
    old: CheckpointFacts,
    new: CheckpointFacts,
    wish: Wish,
    records: Sequence[MaintenanceRecord] = (),
    command: str = UPGRADE,
) -> OperationPlan:
    """Return the steps; Refused, naming all that stands in the way, when there is no way."""
    held, endpoint = live.releases[name], site.inference[name]
    if new.digest == held.checkpoint:
        raise Refused(
            Problem("UPGRADE_SAME_CHECKPOINT", f"{name} serves {new.digest} already", name,
                    "`permafrost status` shows it")
        )  # fmt: skip
    fit = fit_beside(endpoint, old, new)
    choice = choose(
        endpoint,
        beside=fit.fits or (not fit.is_known and Accept.MEMORY in wish.accepted),
        why=fit.why,
        allow_mixed=wish.allow_mixed,
        asked=wish.way,
    )
    problems = [
        *serving_problems(site, live, name),
        *_maintenance_problems(records),
        *client_problems(endpoint, old, new, wish.accepted),
        *_slot_problems(held, new, choice),
    ]
    if choice.strategy is None:
        problems.append(_no_way(name, choice, is_known=fit.is_known))
    if problems or choice.strategy is None:
        raise Refused(*problems)
    after, drafts = _drafts(site, held, new.digest, choice.strategy, wish)
    way = choice.strategy.value
    return OperationPlan(
        command,
        name,
        numbered(drafts),
        basis=basis(site, live, name, new.digest),
        facts={
            "strategy": way,
            # Begun again, it is taken back with what it began from: nothing else can be later.
            "before": held.without_unproven().as_dict(),
            "after": after.as_dict(),
            "accepted": sorted(wish.accepted),
            "why": list(choice.why),
            "canary": wish.canary.as_arguments() if wish.canary else None,
            "collections": "not touched: no knowledge depends on this model's weights",
        },
        notes=(f"{way}: " + "; ".join(choice.why), _note(held, after)),
    )


def _drafts(
    site: Site, held: Release, checkpoint: str, strategy: Strategy, wish: Wish
) -> tuple[Release, tuple[Draft, ...]]:
    if strategy is Strategy.SIDE_BY_SIDE:
        return beside_drafts(site, held, checkpoint, wish.canary)
    after = replace(
        held,
        live=held.spare,
        slots={held.spare: checkpoint},
        open=(held.spare,),
        previous=held.checkpoint,
    )
    exchange = Exchange(
        site,
        held,
        after,
        wish.owner,
        strategy is Strategy.ROLLING,
        canary=wish.canary,
        pins_s=wish.pins_s,
    )
    return after, exchange.drafts()


def _note(held: Release, after: Release) -> str:
    back = f"`permafrost rollback {held.endpoint}`"
    if after.kept:
        return f"the old checkpoint stays in slot {held.live}: {back}"
    return f"the old checkpoint is unloaded on the way: {back} is an upgrade to it"


def _slot_problems(held: Release, new: CheckpointFacts, choice: Choice) -> list[Problem]:
    resumes = choice.strategy is Strategy.SIDE_BY_SIDE and held.kept == new.digest
    if not held.kept or resumes:
        return []
    name = held.endpoint
    return [
        Problem(
            "UPGRADE_SLOT_TAKEN",
            f"slot {held.spare} still has {held.kept}: the way back of {name}, or what an upgrade "
            "that is not finished put there",
            name,
            f"`permafrost retire {name}` gives the way back up, then upgrade; an upgrade that "
            "`permafrost history` shows as not finished is resumed or aborted first",
        )
    ]


def _maintenance_problems(records: Iterable[MaintenanceRecord]) -> list[Problem]:
    return [
        Problem("OTHER_MAINTENANCE", f"{r.host} is in maintenance ({r.state.value}, {r.owner})",
                r.host, f"end it first: `permafrost maintenance exit {r.name}`")
        for r in records
    ]  # fmt: skip


def _no_way(name: str, choice: Choice, *, is_known: bool) -> Problem:
    unknown = "`--accept memory` if both fit for sure; " if not is_known else ""
    return Problem(
        "UPGRADE_NO_CAPACITY",
        f"there is no way to change {name} that keeps min_ready: {'; '.join(choice.why)}",
        name,
        f"{unknown}give the endpoint more replicas, or allow mixed versions (--allow-mixed)",
    )
