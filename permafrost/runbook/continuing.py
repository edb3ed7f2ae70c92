"""The same command begun again: what it goes on with, and what came later than an operation.

An operation that waits for `resume` or `abort` may also be begun again by its own command. That
makes a new operation, whose record and receipt tell what it continues. The one of before ends in
the transaction that notes the new one's plan: a kill leaves either that waits, or this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from permafrost.engine.runs import Run
from permafrost.planning.lifecycle import is_automatic
from permafrost.planning.steps import OperationPlan
from permafrost.runbook.context import Context
from permafrost.runbook.receipts import steps_of

CONTINUES = "continues"
"""The fact of a plan that names the operations which it goes on with."""
HELD_BEFORE = ("was", "owner", "reason")
"""Facts that say what held before an operation: taken back is the whole, not its last try."""


def begun_before(ctx: Context, name: str, owner: str) -> tuple[Run, ...]:
    """Return what waits and is ended by this command of a person; a program continues nothing."""
    if is_automatic(owner):
        return ()
    waiting = ctx.store.runs.unfinished()
    return tuple(run for run in waiting if run.plan.name == name and run.back is None)


def with_begun(plan: OperationPlan, begun: tuple[Run, ...]) -> OperationPlan:
    """Return a plan that names what it continues, and knows what held before that."""
    if not begun:
        return plan
    first = begun[-1].plan.facts
    held = {fact: first[fact] for fact in HELD_BEFORE if fact in first}
    names = [run.operation for run in begun]
    return replace(plan, facts={**plan.facts, **held, CONTINUES: names})


def told_of(ctx: Context, run: Run) -> list[dict[str, Any]]:
    """Return for a receipt what the operations did that this one continues, the first first."""
    told = []
    for name in run.plan.facts.get(CONTINUES, ()):
        before = ctx.store.runs.get(name)
        if before is not None:
            told += told_of(ctx, before)
            told.append(
                {
                    "operation": before.operation,
                    "owner": before.owner,
                    "started_at": before.started_at,
                    "before": dict(before.plan.facts),
                    "steps": steps_of(ctx, before.operation),
                }
            )
    return told


def came_later(
    ctx: Context, run: Run, counts: Callable[[Run], bool] = lambda _: True
) -> Run | None:
    """Return what began after an operation, has taken a step and touched the same; the latest.

    ``counts``: only such ones.
    """
    touched = {s.target for s in run.plan.steps}
    for other in ctx.store.runs.all():
        if other.operation == run.operation:
            return None
        if counts(other) and other.step and touched & {s.target for s in other.plan.steps}:
            return other
    return None
