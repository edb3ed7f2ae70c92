"""How a drain and an undrain are taken back, from what is seen now and what they noted before."""

from __future__ import annotations

from dataclasses import replace

from permafrost.engine.runs import Run
from permafrost.errors import Refused
from permafrost.planning.drain import plan_drain
from permafrost.planning.lifecycle import DeclaredState
from permafrost.planning.member_drain import member_drain_drafts, member_undrain_drafts
from permafrost.planning.replicas import admit_drafts, drain_drafts
from permafrost.planning.steps import Draft, OperationPlan, numbered
from permafrost.runbook.context import Context
from permafrost.runbook.looking import look_around
from permafrost.topology import Node, Tier, nodes

AWAY = (DeclaredState.DRAINING.value, DeclaredState.DRAINED.value)


def undo_drain(ctx: Context, run: Run) -> OperationPlan:
    """Bring the replica or the member back, unless it was away before."""
    node = _node(ctx, run)
    drafts: tuple[Draft, ...] = ()
    declared = ctx.store.declared().get(run.plan.target)
    is_away = declared is not None and declared.is_away
    if node is not None and is_away and run.plan.facts.get("was") not in AWAY:
        drafts = (
            member_undrain_drafts(node)
            if node.tier is Tier.KNOWLEDGE
            else admit_drafts(ctx.site, node, owner=run.owner)
        )
    return OperationPlan("abort", run.plan.name, numbered(drafts))


def undo_admission(ctx: Context, run: Run) -> OperationPlan:
    """Take the replica or the member away again, if it was away before."""
    node = _node(ctx, run)
    drafts: tuple[Draft, ...] = ()
    if node is not None and run.plan.facts.get("was") in AWAY:
        owner, reason = str(run.plan.facts["owner"]), str(run.plan.facts["reason"])
        if node.tier is Tier.KNOWLEDGE:
            drafts = member_drain_drafts(node, owner=owner, reason=reason)
        else:
            _require_others(ctx, run, node)
            drafts = drain_drafts(ctx.site, node, owner=owner, reason=reason)
    return OperationPlan("abort", run.plan.name, numbered(drafts))


def _require_others(ctx: Context, run: Run, node: Node) -> None:
    """Raise Refused where what an undrain has brought back is needed by now.

    The others cannot be brought back before: nothing begins while this is unfinished.
    """
    try:
        plan_drain(ctx.site, look_around(ctx, node), node)
    except Refused as refusal:
        hint = (
            f"`permafrost resume {run.operation}` finishes it; bring the missing ones back then "
            f"(`permafrost undrain REPLICA`), and drain it again (`permafrost drain {node.name}`)"
        )
        raise Refused(*(replace(p, hint=hint) for p in refusal.problems)) from None


def _node(ctx: Context, run: Run) -> Node | None:
    return next((n for n in nodes(ctx.site) if n.name == run.plan.target), None)
