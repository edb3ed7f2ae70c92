"""Go on with an operation that stopped half way, or take back what it did.

Resuming runs the same steps again, each of which sees whether it is true already. Aborting plans
the way back from what is seen now and from what the operation noted of the state before; that
plan is journalled too, so that an abort may be killed and called again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from permafrost.engine.runs import Run, RunState
from permafrost.errors import Held, Problem, Refused
from permafrost.planning.steps import OperationPlan
from permafrost.runbook import maintenance, upgrade
from permafrost.runbook.context import Context
from permafrost.runbook.continuing import came_later
from permafrost.runbook.execution import RunResult, drive, log_waived, require_fresh
from permafrost.runbook.taken_back import undo_admission, undo_drain
from permafrost.runbook.unfinished import half_done, is_on_slots, latest_on_slots, problem_of


def run_named(ctx: Context, operation: str) -> Run:
    """Return an operation; Refused (OPERATION_UNKNOWN) names the latest ones."""
    run = ctx.store.runs.get(operation)
    if run is None:
        known = ", ".join(r.operation for r in ctx.store.runs.all(5)) or "none"
        raise Refused(
            Problem(
                "OPERATION_UNKNOWN",
                "there is no such operation",
                operation,
                f"the latest are: {known}; `permafrost history` lists them",
            )
        )
    return run


def preview_resume(ctx: Context, operation: str) -> OperationPlan:
    """Return what a resumed operation has to make true; Refused when there is nothing to do."""
    run = _open(ctx, operation)
    if run.back is not None:
        raise Refused(
            Problem(
                "OPERATION_ABORTING",
                "it is being taken back",
                operation,
                f"`permafrost abort {operation}` goes on with that",
            )
        )
    _require_latest(ctx, run)
    return run.plan


def resume_run(ctx: Context, operation: str, *, shown: str | None = None) -> RunResult:
    """Finish an operation that was interrupted, paused or has failed; ``shown`` as of abort."""
    require_fresh(shown, preview_resume(ctx, operation))
    ctx.guard()
    ctx.store.runs.take_up(operation)
    return drive(ctx, operation)


def preview_abort(ctx: Context, operation: str) -> OperationPlan:
    """Return what takes back what an operation did; empty when there is nothing left of it."""
    run = _open(ctx, operation)
    if run.back is not None:
        return run.back
    # The way back of slots is planned from what is seen: only another change of them is later.
    _require_latest(ctx, run, of_slots=run.plan.command in upgrade.UNDO)
    return UNDO[run.plan.command](ctx, run)


def abort_run(ctx: Context, operation: str, *, shown: str | None = None) -> RunResult:
    """Take back what an operation did.

    ``shown``: the fingerprint of the way back that was confirmed; raises Refused (PLAN_STALE)
    where what is seen now asks for another.
    """
    back = preview_abort(ctx, operation)
    require_fresh(shown, back)
    ctx.guard()
    log_waived(back, run_named(ctx, operation).owner)
    ctx.store.runs.take_up(operation, back=back)
    return drive(ctx, operation)


def pause_run(ctx: Context, operation: str) -> Run:
    """Ask a running operation to stop before its next step."""
    run = run_named(ctx, operation)
    if run.state is not RunState.RUNNING or run.is_interrupted:
        raise Refused(
            Problem(
                "OPERATION_NOT_RUNNING",
                f"it is {run.as_dict()['state']}",
                operation,
                f"`permafrost show {operation}` says more",
            )
        )
    ctx.store.runs.wish_pause(operation)
    return run


def require_nothing_unfinished(ctx: Context, command: str) -> None:
    """Raise Refused when another operation of a person waits for `resume` or `abort`.

    The same command on the same target is the exception: it begins anew what was interrupted.
    That ends as the new one begins (``execute_plan``): one that is refused leaves it as it is.
    """
    verb, _, target = command.partition(" ")
    half = half_done(ctx, target) if verb in upgrade.UNDO else ()
    for run in (*ctx.store.runs.unfinished(), *half):
        if run.plan.name == command and run.back is None:
            continue
        raise Refused(problem_of(run))


def require_turn(ctx: Context, command: str) -> None:
    """Raise Held when another is at work, Refused when its work is unfinished; change nothing.

    Asked before a plan is made: what another operation has done so far (a replica that is away)
    may speak against the plan, and then it is the operation that is to be named.
    """
    ctx.store.lock.require_free(ctx.lock_token)
    require_nothing_unfinished(ctx, command)


def _open(ctx: Context, operation: str) -> Run:
    run = run_named(ctx, operation)
    if run.state.is_over:
        hint = "nothing is left"
        if run.continued_by:
            hint = f"`permafrost show {run.continued_by}` tells the rest"
        raise Refused(Problem("OPERATION_OVER", f"it is {run.state.value}", operation, hint))
    if run.state is RunState.RUNNING and not run.is_interrupted and not _is_overdue(ctx, run):
        raise Held(
            Problem(
                "OPERATION_RUNNING",
                f"{run.holder} is at work on it",
                operation,
                f"`permafrost pause {operation}` stops it before its next step",
            )
        )
    return run


def _is_overdue(ctx: Context, run: Run) -> bool:
    """Whether its process lives and has let its lease run out: taking the lock will end it."""
    lock = ctx.store.lock.holder()
    return (
        lock is not None
        and lock.has_expired
        and lock.holder.is_here()
        and lock.holder == run.holder
    )


def _require_latest(ctx: Context, run: Run, *, of_slots: bool = False) -> None:
    """What came later on the same target has the last word.

    ``of_slots``: of what came later only changes of the same endpoint's slots count.
    """
    target = run.plan.target
    counts = partial(is_on_slots, endpoint=target) if of_slots else lambda _: True
    other = came_later(ctx, run, counts)
    if other is not None:
        raise Refused(
            Problem(
                "OPERATION_SUPERSEDED",
                f"{other.plan.name} ({other.operation}) came after it",
                run.operation,
                _instead(ctx, run),
            )
        )


def _instead(ctx: Context, run: Run) -> str:
    latest = latest_on_slots(ctx, run.plan.target)
    if latest is not None and latest.operation == run.operation:
        return f"`permafrost abort {run.operation}` takes it back, from what is seen now"
    return (
        "look at `permafrost status`, then plan anew: "
        f"`permafrost {run.plan.name}` ends this one and begins again"
    )


UNDO: dict[str, Callable[[Context, Run], OperationPlan]] = {
    "drain": undo_drain,
    "undrain": undo_admission,
    **maintenance.UNDO,
    **upgrade.UNDO,
}
"""How each command is taken back."""
