"""Take one replica out of rotation, losing nothing.

Order: declared (durable), intent journalled, every edge set to drain, then zero in flight at
the edges and at the model server. It may be cut anywhere and run again: each step sees whether
it is already done. Until it is undrained the declaration stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.engine.state import DeclaredState, Phase
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.planning.drain import DrainPlan, plan_drain
from permafrost.planning.lifecycle import is_automatic
from permafrost.ports import ServerState
from permafrost.runbook.context import Context
from permafrost.runbook.edges import set_on_edges
from permafrost.runbook.looking import as_replica, look_around
from permafrost.runbook.operations import operation
from permafrost.runbook.turns import take_turn
from permafrost.topology import Node

IDLE_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class DrainEvidence:
    """What was seen when a replica was taken away."""

    replica: str
    state: str
    in_flight: int
    in_flight_before: int
    waited_s: float
    changed: bool
    served_by: tuple[str, ...]
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "schema": 1,
            "replica": self.replica,
            "state": self.state,
            "in_flight": self.in_flight,
            "in_flight_before": self.in_flight_before,
            "waited_s": round(self.waited_s, 3),
            "changed": self.changed,
            "served_by": list(self.served_by),
            "note": self.note,
        }


def preview_drain(ctx: Context, replica: Node | str) -> DrainPlan:
    """Return what a drain would do now; raises Refused as the drain would."""
    node = as_replica(ctx, replica)
    return plan_drain(ctx.site, look_around(ctx, node), node)


def drain_replica(
    ctx: Context, replica: Node | str, *, owner: str, reason: str = ""
) -> DrainEvidence:
    """Take a replica out of rotation; nothing happens when it is out already."""
    node = as_replica(ctx, replica)
    ctx.guard()
    plan = take_turn(ctx, node, owner=owner, reason=reason)
    if not plan.steps:
        return _nothing_to_do(ctx, node, plan, owner, reason)
    with operation(ctx, f"drain {node.name}", owner=owner) as journal:
        detail = {"in_flight": plan.in_flight, "served_by": list(plan.served_by), "why": reason}
        journal("drain", node.name, Phase.INTENT, detail)
        owner, reason = _keep_persons_word(ctx, node, owner, reason)
        ctx.store.declare(node.name, DeclaredState.DRAINING, owner=owner, reason=reason)
        began = ctx.clock.monotonic()
        try:
            ctx.guard()
            skipped = set_on_edges(ctx, node.name, ServerState.DRAIN)
            note = _await_idle(ctx, node)
        except PermafrostError as error:
            journal("drain", node.name, Phase.FAILED, {"error": error.code})
            raise
        waited = ctx.clock.monotonic() - began
        ctx.store.declare(node.name, DeclaredState.DRAINED, owner=owner, reason=reason)
        notes = [*(f"{edge} is off" for edge in skipped), *([note] if note else [])]
        evidence = DrainEvidence(
            node.name,
            DeclaredState.DRAINED.value,
            0,
            plan.in_flight,
            waited,
            True,
            plan.served_by,
            "; ".join(notes),
        )
        journal("drain", node.name, Phase.DONE, evidence.as_dict())
    return evidence


def _nothing_to_do(
    ctx: Context, node: Node, plan: DrainPlan, owner: str, reason: str
) -> DrainEvidence:
    """It is away already; a person who asks for that keeps it away from then on."""
    declared = ctx.store.declared().get(node.name)
    note, changed = plan.why_nothing, False
    if declared and declared.is_away and declared.is_automatic and not is_automatic(owner):
        note, changed = f"it was drained already: {declared}", True
        declared = ctx.store.declare(node.name, declared.state, owner=owner, reason=reason)
    state = declared.state.value if declared else "OUT"
    return DrainEvidence(node.name, state, 0, 0, 0.0, changed, plan.served_by, note)


def _keep_persons_word(ctx: Context, node: Node, owner: str, reason: str) -> tuple[str, str]:
    """What a person took away, no program brings back: the declaration stays theirs."""
    declared = ctx.store.declared().get(node.name)
    if declared is not None and declared.is_away and not declared.is_automatic:
        return declared.owner, declared.reason
    return owner, reason


def _await_idle(ctx: Context, node: Node) -> str:
    """Wait for zero in flight, at the edges first, then at the model server."""
    endpoint = ctx.site.inference.get(node.endpoint)
    deadline_s = float(endpoint.drain_deadline_s) if endpoint else 120.0
    left = ""
    note = ""

    def is_idle() -> bool:
        nonlocal left, note
        at_edges = ctx.traffic.observe().in_flight(node.name)
        if at_edges:
            left = f"{at_edges} in flight at the edges"
            return False
        try:
            at_server = ctx.models.state(node.name).in_flight
        except PermafrostError as error:
            left = f"the model server cannot be asked: {error.problems[0].message}"
            if look_around(ctx, node).is_gone(node.name):
                note = "its machine is off or its host is lost; nothing can be in flight there"
                return True
            return False
        left = f"{at_server} in flight at the model server"
        return at_server == 0

    if wait_until(is_idle, clock=ctx.clock, deadline_s=deadline_s, every_s=IDLE_EVERY_S):
        return note
    raise Failed(
        Problem(
            "DRAIN_DEADLINE",
            f"not idle after {deadline_s:g} s: {left}. It gets no new requests and stays DRAINING",
            node.name,
            f"run `permafrost drain {node.name}` again to wait longer, or "
            f"`permafrost undrain {node.name}` to bring it back",
        )
    )
