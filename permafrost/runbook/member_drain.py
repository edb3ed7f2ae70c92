"""Drain a member of the knowledge tier by itself, for work on its machine, and bring it back.

Its machine and its stores' containers go on running; Milvus serves nothing there. It may be cut
anywhere, and resumed, aborted or run again.
"""

from __future__ import annotations

from permafrost.errors import Refused
from permafrost.planning.knowledge import members
from permafrost.planning.knowledge_stop import knowledge_stop_problems
from permafrost.planning.lifecycle import Declared
from permafrost.planning.member_drain import (
    drained_members,
    drained_problem,
    plan_member_drain,
    plan_member_undrain,
)
from permafrost.planning.steps import OperationPlan
from permafrost.runbook.context import Context
from permafrost.runbook.execution import RunResult, carry_out
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.member_turn import require_no_maintenance
from permafrost.topology import Node


def member_named(ctx: Context, name: str) -> Node | None:
    """Return the member of that name; None where the tier has none, or the site no tier."""
    if ctx.site.knowledge is None:
        return None
    return next((n for n in members(ctx.site) if n.name == name), None)


def preview_drain(ctx: Context, node: Node, *, owner: str, reason: str = "") -> OperationPlan:
    """Return the steps; Refused where another is away, or the others are not whole without it."""
    declared = ctx.store.declared()
    for name in drained_members(ctx.site, declared):
        if name != node.name:
            raise Refused(drained_problem(declared[name], node.name))
    made = plan_member_drain(node, declared.get(node.name), owner=owner, reason=reason)
    if made.steps:
        require_no_maintenance(ctx, node)
        seen = read_knowledge(ctx, mending=(node.name,))
        if problems := knowledge_stop_problems(ctx.site, (node,), seen):
            raise Refused(*problems)
    return made


def drain_member(
    ctx: Context, node: Node, *, owner: str, reason: str = "", shown: str | None = None
) -> RunResult:
    """Take a member out of service; ``shown``: the plan that was confirmed, another is refused."""
    made = preview_drain(ctx, node, owner=owner, reason=reason)
    return carry_out(ctx, made, owner=owner, shown=shown)


def preview_undrain(ctx: Context, node: Node) -> OperationPlan:
    """Return the steps; none where it is not drained."""
    return plan_member_undrain(node, _declared(ctx, node))


def undrain_member(ctx: Context, node: Node, *, owner: str, shown: str | None = None) -> RunResult:
    """Have everything on a member started, and wait until the tier is whole with it."""
    made = preview_undrain(ctx, node)
    return carry_out(ctx, made, owner=owner, shown=shown)


def _declared(ctx: Context, node: Node) -> Declared | None:
    return ctx.store.declared().get(node.name)
