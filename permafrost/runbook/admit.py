"""Bring one replica into rotation, through the gate and no other way.

Order: the node answers, its bytes and behaviour pass the quiet probe, the edges are set to
ready, every edge sees it UP, and only then it is declared ADMITTED. While it is drained it has
no other traffic, so the probe is quiet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from permafrost.engine.state import DeclaredState
from permafrost.errors import Held, Problem
from permafrost.planning.lifecycle import Declared, is_automatic
from permafrost.planning.live import LiveState
from permafrost.planning.replicas import admit_drafts
from permafrost.planning.steps import OperationPlan, numbered
from permafrost.runbook.context import Context
from permafrost.runbook.execution import execute_plan, finish_begun, require_fresh
from permafrost.runbook.looking import as_replica, look_around
from permafrost.site.pins import digest_of
from permafrost.topology import Node, endpoint_of

COMMAND = "undrain"


@dataclass(frozen=True, slots=True)
class AdmitEvidence:
    """What was seen when a replica came back."""

    replica: str
    state: str
    checkpoint: str
    waited_s: float
    changed: bool
    note: str = ""
    operation: str = ""
    receipt: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "schema": 1,
            "replica": self.replica,
            "state": self.state,
            "checkpoint": self.checkpoint,
            "waited_s": round(self.waited_s, 3),
            "changed": self.changed,
            "note": self.note,
            "operation": self.operation or None,
            "receipt": self.receipt or None,
        }


def preview_admit(
    ctx: Context, node: Node, *, owner: str, live: LiveState | None = None
) -> OperationPlan:
    """Return what an admission would do now, and why nothing where it would do nothing.

    ``live`` is what was seen a moment ago.
    """
    live = live or look_around(ctx, node)
    declared = live.declared.get(node.name)
    nothing = _nothing_to_do(ctx, node, live, owner)
    if nothing is not None:
        return OperationPlan(COMMAND, node.name, (), notes=(nothing.note,))
    return plan_admit(ctx, node, declared, owner=owner)


def admit_replica(
    ctx: Context,
    replica: Node | str,
    *,
    owner: str,
    shown: str | None = None,
    live: LiveState | None = None,
) -> AdmitEvidence:
    """Bring a replica into rotation; nothing happens when it serves already.

    ``shown``: the fingerprint of the plan that was confirmed; raises Refused where it is another.
    ``live`` is what was seen a moment ago, while the site was held.
    """
    node = as_replica(ctx, replica)
    pinned = digest_of(endpoint_of(ctx.site, node).model)
    ctx.guard()
    live = live or look_around(ctx, node)
    if (nothing := _nothing_to_do(ctx, node, live, owner)) is not None:
        done = finish_begun(ctx, f"{COMMAND} {node.name}", owner=owner)
        return replace(nothing, operation=done.operation, receipt=done.receipt)
    made = plan_admit(ctx, node, live.declared.get(node.name), owner=owner)
    require_fresh(shown, made)
    began = ctx.clock.monotonic()
    done = execute_plan(ctx, made, owner=owner)
    waited = ctx.clock.monotonic() - began
    return AdmitEvidence(
        node.name, "ADMITTED", pinned, waited, True, "", done.operation, done.receipt
    )


def _nothing_to_do(ctx: Context, node: Node, live: LiveState, owner: str) -> AdmitEvidence | None:
    """Return that it serves already, or that a person keeps it away; None where it comes back."""
    declared = live.declared.get(node.name)
    if declared is not None and declared.state is DeclaredState.ADMITTED:
        facts = live.nodes.get(node.name)
        if facts is not None and facts.state == "ADMITTED" and live.serves(node.name):
            return AdmitEvidence(
                node.name, "ADMITTED", facts.checkpoint, 0.0, False, "it serves already"
            )
    if declared is not None and declared.is_away and not may_bring_back(ctx, declared, owner):
        note = f"left as it was: {declared}"
        return AdmitEvidence(node.name, declared.state.value, "", 0.0, False, note)
    return None


def plan_admit(
    ctx: Context, node: Node, declared: Declared | None, *, owner: str
) -> OperationPlan:
    """Return an admission as an operation: its steps, and what undoing it must know."""
    return OperationPlan(
        COMMAND,
        node.name,
        numbered(admit_drafts(ctx.site, node, owner=owner)),
        basis={"was": [declared.state.value, declared.owner] if declared else None},
        facts={
            "was": declared.state.value if declared else "",
            "owner": declared.owner if declared else "",
            "reason": declared.reason if declared else "",
        },
    )


def may_bring_back(ctx: Context, declared: Declared, owner: str) -> bool:
    """Whether ``owner`` may end what was declared.

    What a person took away, no program brings back. What a living program took away, a person
    does not: it is at work on it. Raises Held then.
    """
    if is_automatic(owner):
        return declared.is_automatic
    holder = ctx.store.at_work_on(declared.node)
    if holder is not None:
        raise Held(
            Problem(
                "REPLICA_HELD",
                f"{declared}; {holder} is at work on it",
                declared.node,
                "it brings the replica back itself; `permafrost status` shows when",
            )
        )
    return True
