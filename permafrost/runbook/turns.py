"""Whose turn it is to be taken away.

Work on several VMs runs in parallel (Pulumi's hooks do). A turn stands in durable state as the
replica's declared state DRAINING: it is given in one transaction, outlives a crash, and ends
when the replica is ADMITTED again. No process holds anything in between.
"""

from __future__ import annotations

from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.planning.drain import DrainPlan
from permafrost.planning.force import Force
from permafrost.planning.lifecycle import Declared, is_automatic
from permafrost.runbook.context import Context
from permafrost.runbook.edges import require_answers
from permafrost.runbook.looking import as_replica, look_to_drain
from permafrost.topology import Node, replicas

TURN_DEADLINE_S = 1200.0
ASK_AGAIN_S = 2.0


def await_turn(
    ctx: Context,
    replica: Node | str,
    owner: str,
    *,
    reason: str = "",
    deadline_s: float = TURN_DEADLINE_S,
) -> None:
    """Wait until this replica may be taken away; it is declared DRAINING when this returns.

    Nothing is declared for a replica that has nothing to drain. Raises Refused
    (DRAIN_BELOW_MIN_READY) when its turn has not come in time, and at once
    (MAINTENANCE_IN_PROGRESS) when a program asks while a host is in maintenance.
    """
    node = as_replica(ctx, replica)
    _require_no_maintenance(ctx, node, owner)
    refusal: list[PermafrostError] = []

    def has_come() -> bool:
        ctx.guard()
        if refusal and _is_held(ctx, node, owner):
            return False
        refusal.clear()
        try:
            take_turn(ctx, node, owner=owner, reason=reason)
        except (Refused, Failed) as error:
            refusal.append(error)
        return not refusal

    if not wait_until(has_come, clock=ctx.clock, deadline_s=deadline_s, every_s=ASK_AGAIN_S):
        raise refusal[0]


def _is_held(ctx: Context, node: Node, owner: str) -> bool:
    """Whether durable state alone says that a program cannot have its turn yet.

    Who waits asks often, and many wait at once: looking at every edge and replica each time would
    take from the one whose turn it is what it needs to end.
    """
    records = ctx.store.declared()
    mine = records.get(node.name)
    if not is_automatic(owner) or (mine is not None and mine.is_away):
        return False
    others = {member.name for member in _members(ctx, node)} - {node.name}
    return any(r.is_away and r.is_automatic for name, r in records.items() if name in others)


def _members(ctx: Context, node: Node) -> tuple[Node, ...]:
    return replicas(ctx.site, node.endpoint) if node.endpoint in ctx.site.inference else ()


def _require_no_maintenance(ctx: Context, node: Node, owner: str) -> None:
    """A program waits for no person: what would take more away, or touch what is away, ends."""
    records = ctx.store.maintenance.all()
    if not records or not is_automatic(owner):
        return
    is_away = any(node.name in (*r.replicas, *r.powered) for r in records)
    if not is_away and not _has_to_drain(ctx, node):
        return
    raise Refused(
        *(
            Problem(
                "MAINTENANCE_IN_PROGRESS",
                f"{r.host} is in maintenance ({r.state.value}, {r.owner}, since {r.at}); "
                f"{node.name} is not touched",
                node.name,
                f"`permafrost maintenance exit {r.name}` first, then run it again",
            )
            for r in records
        )
    )


def _has_to_drain(ctx: Context, node: Node) -> bool:
    try:
        return bool(look_to_drain(ctx, node)[0].steps)
    except Refused:
        return True


def take_turn(
    ctx: Context, node: Node, *, owner: str, reason: str, force: Force | None = None
) -> DrainPlan:
    """Take the turn now, or raise Refused; return the plan of the drain."""
    plan, live = look_to_drain(ctx, node, force=force)
    if not plan.steps:
        return plan
    # What an edge that runs does is not known while it does not answer: nothing is begun.
    if force is not Force.UNSEEN:
        require_answers(live, node.name)
    in_the_way = ctx.store.take_turn(
        node.name,
        frozenset(n.name for n in _members(ctx, node)),
        floor=plan.floor,
        owner=owner,
        reason=reason,
        serving=frozenset(plan.served_by),
    )
    if in_the_way:
        raise Refused(_not_yet(node, in_the_way))
    return plan


def _not_yet(node: Node, in_the_way: tuple[Declared, ...]) -> Problem:
    return Problem(
        "DRAIN_BELOW_MIN_READY",
        f"another replica of {node.endpoint} is away: " + "; ".join(str(r) for r in in_the_way),
        node.name,
        "bring it back first (`permafrost undrain REPLICA`)",
    )
