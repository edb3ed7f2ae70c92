"""Take one replica out of rotation, losing nothing.

Order: declared (durable), intent journalled, every edge set to drain, then zero in flight at
the edges and at the model server. It may be cut anywhere and run again: each step sees whether
it is already done. Until it is undrained the declaration stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from permafrost.engine.state import DeclaredState, Phase
from permafrost.engine.timestamps import rfc3339
from permafrost.errors import PermafrostError
from permafrost.planning.drain import DrainPlan, plan_drain
from permafrost.planning.drift_report import blocks_drain
from permafrost.planning.lifecycle import is_automatic
from permafrost.ports import ServerState
from permafrost.runbook.context import Context
from permafrost.runbook.drift import drift_of, refuse
from permafrost.runbook.edges import set_on_edges
from permafrost.runbook.idle import await_idle, deadline_of
from permafrost.runbook.looking import as_replica, look_around
from permafrost.runbook.operations import operation
from permafrost.runbook.turns import take_turn
from permafrost.topology import Node


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
    idle_streams_ended: int = 0
    cut: int = 0

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
            "idle_streams_ended": self.idle_streams_ended,
            "cut": self.cut,
        }


def preview_drain(ctx: Context, replica: Node | str, *, despite_drift: bool = False) -> DrainPlan:
    """Return what a drain would do now; raises Refused as the drain would."""
    node = as_replica(ctx, replica)
    live = look_around(ctx, node)
    plan = plan_drain(ctx.site, live, node)
    if plan.steps and not despite_drift:
        refuse(blocks_drain(drift_of(ctx, live), node.name, node.endpoint))
    return plan


def drain_replica(
    ctx: Context,
    replica: Node | str,
    *,
    owner: str,
    reason: str = "",
    deadline_s: float | None = None,
    cut: bool = False,
) -> DrainEvidence:
    """Take a replica out of rotation; nothing happens when it is out already.

    ``deadline_s``: instead of the endpoint's own. ``cut``: end what is left then, and count it.
    Drift is looked at by who asks (``preview_drain``): a deployment drains to mend it.
    """
    node = as_replica(ctx, replica)
    ctx.guard()
    plan = take_turn(ctx, node, owner=owner, reason=reason)
    if not plan.steps:
        return _nothing_to_do(ctx, node, plan, owner, reason)
    with operation(ctx, f"drain {node.name}", owner=owner) as journal:
        detail = {"in_flight": plan.in_flight, "served_by": list(plan.served_by), "why": reason}
        journal("drain", node.name, Phase.INTENT, detail)
        owner, reason = _keep_persons_word(ctx, node, owner, reason)
        patience_s = deadline_of(ctx, node) if deadline_s is None else deadline_s
        until = rfc3339(ctx.clock.now() + timedelta(seconds=patience_s))
        ctx.store.declare(
            node.name, DeclaredState.DRAINING, owner=owner, reason=reason, deadline=until
        )
        began = ctx.clock.monotonic()
        try:
            ctx.guard()
            skipped = set_on_edges(ctx, node.name, ServerState.DRAIN)
            idle = await_idle(ctx, node, deadline_s=patience_s, cut=cut)
        except PermafrostError as error:
            journal("drain", node.name, Phase.FAILED, {"error": error.code})
            raise
        waited = ctx.clock.monotonic() - began
        ctx.store.declare(node.name, DeclaredState.DRAINED, owner=owner, reason=reason)
        notes = [*(f"{edge} is off" for edge in skipped), *([idle.note] if idle.note else [])]
        evidence = DrainEvidence(
            node.name,
            DeclaredState.DRAINED.value,
            0,
            plan.in_flight,
            waited,
            True,
            plan.served_by,
            "; ".join(notes),
            idle.idle_streams_ended,
            idle.cut,
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
