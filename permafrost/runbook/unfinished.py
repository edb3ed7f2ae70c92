"""Operations of persons that wait for `resume` or `abort`, and what may not begin meanwhile.

One is unfinished when it was paused or its process has ended; on the slots of an endpoint also
when it has failed: some replicas may hold one slot and some the other then, and only its own two
ways out know both.
"""

from __future__ import annotations

from permafrost.engine.runs import Run, RunState
from permafrost.errors import Problem, Refused
from permafrost.planning.deploy import Plan, Step
from permafrost.planning.undisturbed import concerns, disturbing, is_told_for
from permafrost.runbook import upgrade
from permafrost.runbook.context import Context
from permafrost.runbook.mending import is_mended_by, is_shut_out
from permafrost.runbook.ways_out import ways_out
from permafrost.topology import Node

SHOWN = 3
"""So many steps of a plan are named."""


def problem_of(run: Run, *, also: str = "") -> Problem:
    """Return what is unfinished: whose it is, since when, how far; and its ways out."""
    return Problem(
        "OPERATION_UNFINISHED",
        f"{run.plan.name} of {run.owner}, begun {run.started_at}, is {run.as_dict()['state']} "
        f"at step {run.step or 'none'}",
        run.operation,
        f"{ways_out(run)}{also}",
    )


def half_done(ctx: Context, endpoint: str) -> tuple[Run, ...]:
    """Return what failed last on the slots of an endpoint."""
    latest = latest_on_slots(ctx, endpoint)
    return (latest,) if latest is not None and latest.state is RunState.FAILED else ()


def latest_on_slots(ctx: Context, endpoint: str) -> Run | None:
    """Return the latest operation on the slots of an endpoint."""
    return next((r for r in ctx.store.runs.on(endpoint) if is_on_slots(r, endpoint)), None)


def is_on_slots(run: Run, endpoint: str) -> bool:
    """Whether an operation changes the slots of an endpoint."""
    return run.plan.command in upgrade.UNDO and run.plan.target == endpoint


def problems_for(ctx: Context, steps: tuple[Step, ...]) -> tuple[Problem, ...]:
    """Return what is unfinished, for a deployment that has these steps to change what runs."""
    named = ", ".join(f"{s.id} {s.kind} {s.target}" for s in steps[:SHOWN])
    more = f" and {len(steps) - SHOWN} more" if len(steps) > SHOWN else ""
    also = f". Only what brings back what is gone may come before; not {named}{more}"
    return tuple(problem_of(run, also=also if steps else "") for run in _waiting(ctx))


def _waiting(ctx: Context) -> list[Run]:
    waiting = [*ctx.store.runs.unfinished()]
    return waiting + [run for name in sorted(ctx.site.inference) for run in half_done(ctx, name)]


def is_waiting(ctx: Context) -> bool:
    """Whether an operation of a person is unfinished, or failed on slots."""
    return bool(_waiting(ctx))


def require_undisturbed(ctx: Context, plan: Plan) -> None:
    """Raise Refused (OPERATION_UNFINISHED) where a deployment would change what runs meanwhile.

    No level of force waives that: the operation can be taken back.
    """
    steps = disturbing(plan)
    if steps and (problems := problems_for(ctx, steps)):
        raise Refused(*problems)


def with_unfinished(ctx: Context, refusal: Refused) -> Refused:
    """Return a refused plan's reasons, and what is unfinished: that may have caused them."""
    return Refused(*refusal.problems, *problems_for(ctx, ()))


def require_node_undisturbed(ctx: Context, command: str, node: Node) -> None:
    """Raise Refused (OPERATION_UNFINISHED) where a person's command would change what one is on.

    Not where the command is what mends the node for it: the operation stopped with an error that
    says so, or neither of its ways out gets past the node as that is.
    """
    waiting = [
        run
        for run in _waiting(ctx)
        if concerns(ctx.site, run.plan, node) and not is_told_for(run.error, command, node.name)
    ]
    if waiting and not is_mended_by(ctx, command, node):
        also = f"; then `permafrost {command} {node.name}`"
        raise Refused(*(problem_of(run, also=also) for run in waiting))


def renews_alone(ctx: Context, command: str, node: Node) -> bool:
    """Whether a node's certificate is all that may be renewed: an operation waits on the node.

    Neither of its ways out gets past a replica that edges see down although it is proven. Raises
    Refused (OPERATION_UNFINISHED) where that is not so.
    """
    try:
        require_node_undisturbed(ctx, command, node)
    except Refused:
        if not is_shut_out(ctx, node):
            raise
        return True
    return False
