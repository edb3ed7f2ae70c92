"""Take one replica out of rotation, losing nothing.

Order: declared (durable), every edge set to drain, then zero in flight at the edges and at the
model server; each step journalled before and after. It may be cut anywhere, and resumed or run
again: each step sees whether it is already done. Until it is undrained the declaration stands.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from permafrost.engine.state import DeclaredState
from permafrost.planning.drain import DrainPlan, DrainStep, plan_drain
from permafrost.planning.drift_report import blocks_drain
from permafrost.planning.force import Force
from permafrost.planning.lifecycle import is_automatic
from permafrost.planning.live import LiveState
from permafrost.planning.replicas import drain_drafts
from permafrost.planning.steps import Draft, OperationPlan, numbered
from permafrost.runbook.context import Context
from permafrost.runbook.drift import drift_of, refuse
from permafrost.runbook.edges import require_answers
from permafrost.runbook.execution import execute_plan, finish_begun, require_fresh
from permafrost.runbook.idle import held_open
from permafrost.runbook.looking import as_replica, look_around
from permafrost.topology import Node

log = logging.getLogger(__name__)

COMMAND = "drain"


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
    operation: str = ""
    receipt: str = ""

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
            "operation": self.operation or None,
            "receipt": self.receipt or None,
        }


def preview_drain(
    ctx: Context,
    replica: Node | str,
    *,
    owner: str,
    reason: str = "",
    deadline_s: float | None = None,
    cut: bool = False,
    despite_drift: bool = False,
    force: Force | None = None,
    live: LiveState | None = None,
    is_shown: bool = True,
) -> tuple[DrainPlan, str]:
    """Return what a drain would do now, and its fingerprint; raises Refused as it would.

    ``live`` is what was seen a moment ago, while the site was held. ``is_shown``: somebody looks
    at the plan, and is told what streams are open.
    """
    node = as_replica(ctx, replica)
    live = live or look_around(ctx, node)
    plan = plan_drain(ctx.site, live, node, force=force)
    if plan.steps and not despite_drift:
        refuse(blocks_drain(drift_of(ctx, live), node.name, node.endpoint))
    drafts = drain_drafts(
        ctx.site, node, owner=owner, reason=reason, deadline_s=deadline_s, cut=cut, force=force
    )
    fingerprint = operation_of(plan, live, drafts, force).fingerprint
    open_now = held_open(ctx, node.name) if plan.in_flight and is_shown else 0
    return replace(plan, held_open=open_now), fingerprint


def operation_of(
    plan: DrainPlan, live: LiveState, drafts: tuple[Draft, ...], force: Force | None = None
) -> OperationPlan:
    """Return a drain as an operation: its steps, and what undoing it must know."""
    declared = live.declared.get(plan.replica)
    return OperationPlan(
        COMMAND,
        plan.replica,
        numbered(drafts if plan.steps else ()),
        basis={"floor": plan.floor, "served_by": list(plan.served_by)},
        facts={
            "was": declared.state.value if declared else "",
            "in_flight": plan.in_flight,
            "served_by": list(plan.served_by),
            "floor": plan.floor,
            "force": force.value if force else None,
            "waived": list(plan.waived),
        },
    )


def drain_replica(
    ctx: Context,
    replica: Node | str,
    *,
    owner: str,
    reason: str = "",
    deadline_s: float | None = None,
    cut: bool = False,
    force: Force | None = None,
    shown: str | None = None,
    live: LiveState | None = None,
) -> DrainEvidence:
    """Take a replica out of rotation; nothing happens when it is out already.

    ``deadline_s``: instead of the endpoint's own. ``cut``: end what is left then, and count it.
    ``force``: what may be waived.
    Drift is looked at by who asks (``preview_drain``): a deployment drains to mend it.
    ``shown`` is the fingerprint of the plan that was confirmed; another one is refused. ``live``
    is what was seen a moment ago, while the site was held.
    """
    node = as_replica(ctx, replica)
    ctx.guard()
    live = live or look_around(ctx, node)
    plan = plan_drain(ctx.site, live, node, force=force)
    if not plan.steps:
        return _nothing_to_do(ctx, node, plan, owner, reason)
    if force is not Force.UNSEEN:
        require_answers(live, node.name)
    if plan.waived:
        log.warning("force %s of %s: %s", force, owner, "; ".join(plan.waived))
    drafts = drain_drafts(
        ctx.site, node, owner=owner, reason=reason, deadline_s=deadline_s, cut=cut, force=force
    )
    made = operation_of(plan, live, drafts, force)
    require_fresh(shown, made)
    began = ctx.clock.monotonic()
    done = execute_plan(ctx, made, owner=owner)
    skipped = done.evidence(DrainStep.SET_EDGES).get("off", [])
    idle = done.evidence(DrainStep.AWAIT_IDLE)
    note = idle.get("note", "")
    return DrainEvidence(
        node.name,
        DeclaredState.DRAINED.value,
        0,
        plan.in_flight,
        ctx.clock.monotonic() - began,
        True,
        plan.served_by,
        "; ".join([*(f"{edge} is off" for edge in skipped), *([note] if note else [])]),
        int(idle.get("idle_streams_ended", 0)),
        int(idle.get("cut", 0)),
        done.operation,
        done.receipt,
    )


def _nothing_to_do(
    ctx: Context, node: Node, plan: DrainPlan, owner: str, reason: str
) -> DrainEvidence:
    """It is away already; a person who asks for that keeps it away from then on."""
    done = finish_begun(ctx, f"{COMMAND} {node.name}", owner=owner)
    declared = ctx.store.declared().get(node.name)
    note, changed = plan.why_nothing, False
    if declared and declared.is_away and declared.is_automatic and not is_automatic(owner):
        note, changed = f"it was drained already: {declared}", True
        declared = ctx.store.declare(node.name, declared.state, owner=owner, reason=reason)
    state = declared.state.value if declared else "OUT"
    return DrainEvidence(
        node.name,
        state,
        0,
        0,
        0.0,
        changed,
        plan.served_by,
        note,
        operation=done.operation,
        receipt=done.receipt,
    )
