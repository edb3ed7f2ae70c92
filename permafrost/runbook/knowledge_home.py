"""A deployment's part in a knowledge tier whose members are all back: what moved is brought home.

The step stands in the plan where it is seen to be needed, or a member that is off comes back by
the same plan. What is done then is decided by what is seen then: killed anywhere, the next
deployment sees what is left, and its plan has the step again. Where Milvus has dealt otherwise
than was assumed that is remembered, and not tried again before something else leads.
"""

from __future__ import annotations

from typing import Any

from permafrost.pki.files import locked
from permafrost.planning.deploy import BRING_HOME, Plan, and_then
from permafrost.planning.knowledge import members
from permafrost.planning.knowledge_home import left_away
from permafrost.planning.member_drain import drained_members
from permafrost.planning.query_leaders import noted_leaders
from permafrost.runbook.context import Context
from permafrost.runbook.founding import founded_as
from permafrost.runbook.knowledge import STEADY_S, answering, await_ready
from permafrost.runbook.member_turn import TURN_FOLDER
from permafrost.runbook.query_replicas import begin_emptied_anew
from permafrost.runbook.query_spares import bring_home
from permafrost.runbook.unfinished import is_waiting

TARGET = "knowledge"
TRIED = "knowledge-home-tried"


def with_homecoming(ctx: Context, plan: Plan) -> Plan:
    """Return the plan with the step that brings home what moved, where something did.

    Not while a member is away by somebody's will: its way back does it. Nor while an operation of
    a person is unfinished, which goes on from the tier as it is.
    """
    if ctx.site.knowledge is None or founded_as(ctx) is None or _is_away_by_will(ctx):
        return plan
    names = {node.name for node in members(ctx.site)}
    coming = sorted(s.target for s in plan.of_kind("power-on") if s.target in names)
    if coming:
        return and_then(plan, BRING_HOME, TARGET, f"once {', '.join(coming)} is back")
    if any(step.target in names for step in plan.steps):
        return plan  # a member's turn ends with that
    seen = _seen(ctx)
    if not seen["left"] or seen == ctx.store.recall(TRIED):
        return plan
    return and_then(plan, BRING_HOME, TARGET, seen["left"])


def _seen(ctx: Context) -> dict[str, Any]:
    """Return what is left away and who leads, as values that can be kept."""
    states = answering(ctx)
    leaders = {
        collection: {channel: sorted(of) for channel, of in channels.items()}
        for collection, channels in noted_leaders(states).items()
    }
    return {"left": left_away(ctx.site, states), "leaders": leaders}


def _is_away_by_will(ctx: Context) -> bool:
    return (
        bool(drained_members(ctx.site, ctx.store.declared()))
        or bool(ctx.store.maintenance.all())
        or is_waiting(ctx)
    )


def come_home(ctx: Context) -> tuple[str, ...]:
    """Bring home what moved; the tier is whole afterwards. Return what was done.

    Raises Failed (KNOWLEDGE_NOT_READY) where the tier does not become whole.
    """
    with locked(ctx.loaded.state_dir / TURN_FOLDER):
        begin_emptied_anew(ctx)
        await_ready(ctx, steady_s=STEADY_S)
        done = bring_home(ctx)
        ctx.store.remember(TRIED, _seen(ctx))
        return done
