"""Run a plan as an operation: in the journal, resumable, with a receipt at its end.

Order of durable writes: operation and plan, then for each step its intent and its evidence, then
the receipt, then the end. A process that is killed between any two leaves a run that says
RUNNING of a dead process: it is interrupted, and waits for `resume` or `abort`. Begun again by
its command it ends in the write that notes the new one's plan.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Thread
from typing import Any

from permafrost.engine.executor import Executor, Paused, StepResult
from permafrost.engine.runs import OUTCOMES, Run, RunState
from permafrost.errors import Held, PermafrostError, Problem, Refused
from permafrost.planning.lifecycle import is_automatic
from permafrost.planning.steps import OperationPlan
from permafrost.runbook.actions import action_for
from permafrost.runbook.context import Context
from permafrost.runbook.continuing import begun_before, came_later, told_of, with_begun
from permafrost.runbook.counting import begin_counting, counted_since
from permafrost.runbook.receipts import steps_of, write_receipt
from permafrost.runbook.ways_out import tell

log = logging.getLogger(__name__)

BACK = "back-"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How an operation ended."""

    operation: str
    results: tuple[StepResult, ...]
    receipt: str = ""

    def evidence(self, kind: str) -> dict[str, Any]:
        """Return the evidence of the last step of a kind."""
        return next((dict(r.evidence) for r in reversed(self.results) if r.step.kind == kind), {})


def execute_plan(ctx: Context, plan: OperationPlan, *, owner: str) -> RunResult:
    """Run a plan as a new operation, which continues what the same command has begun."""
    begun = begun_before(ctx, plan.name, owner)
    names = [run.operation for run in begun]
    operation = ctx.store.begin_run(with_begun(plan, begun), owner=owner, continues=names)
    if not is_automatic(owner):
        begin_counting(ctx, operation)
    return drive(ctx, operation)


def carry_out(
    ctx: Context, made: OperationPlan, *, owner: str, shown: str | None = None
) -> RunResult:
    """Run a plan that was just made while the site was held; nothing where it has no steps.

    ``shown``: the fingerprint of the plan that was confirmed; raises Refused where it is another.
    """
    ctx.guard()
    require_fresh(shown, made)
    log_waived(made, owner)
    if not made.steps:
        return finish_begun(ctx, made.name, owner=owner)
    return execute_plan(ctx, made, owner=owner)


def log_waived(made: OperationPlan, owner: str) -> None:
    """Log what a level of force waives, where it waives anything."""
    if made.facts.get("waived"):
        told = "; ".join(made.facts["waived"])
        log.warning("force %s of %s: %s", made.facts["force"], owner, told)


def finish_begun(ctx: Context, name: str, *, owner: str) -> RunResult:
    """Bring to its end what a command has begun, where nothing is left to do: it has a receipt.

    Where something later had the last word on the same, that is what went on with it.
    """
    done = RunResult("", ())
    for run in begun_before(ctx, name, owner):
        if (later := came_later(ctx, run)) is not None:
            ctx.store.runs.continued(run.operation, by=later.operation)
            continue
        ctx.store.runs.take_up(run.operation)
        done = drive(ctx, run.operation)
    return done


def drive(ctx: Context, operation: str) -> RunResult:
    """Run what an operation has to do from where it is: its plan, or the one that undoes it."""
    run = ctx.store.runs.get(operation)
    if run is None:
        hint = "`permafrost history` lists them"
        raise Refused(Problem("OPERATION_UNKNOWN", "there is no such operation", operation, hint))
    plan = run.back or run.plan
    label = BACK if run.back else ""
    executor = Executor(
        store=ctx.store,
        clock=ctx.clock,
        guard=ctx.guard,
        crash=ctx.crash,
        operation=operation,
        command=plan.command,
        label=label,
    )
    if not is_automatic(run.owner):
        # What signs the receipt takes long to import: while machines are waited for.
        Thread(target=ctx.store.receipts.get_ready, daemon=True).start()
    try:
        results = executor.run(plan.steps, lambda step: action_for(ctx, operation, step, label))
    except (Paused, KeyboardInterrupt):
        ctx.store.runs.end(operation, RunState.PAUSED)
        raise
    except PermafrostError as error:
        tell(run, error)
        ctx.store.runs.end(operation, RunState.FAILED, error=error.problems[0].as_dict())
        is_refusal = isinstance(error, Refused | Held)
        ctx.store.finish(operation, "REFUSED" if is_refusal else "FAILED")
        raise
    except Exception as error:
        ctx.store.runs.end(operation, RunState.FAILED, error={"code": type(error).__name__})
        ctx.store.finish(operation, "FAILED")
        raise
    state = RunState.ABORTED if run.back else RunState.DONE
    receipt = "" if is_automatic(run.owner) else str(_receipt(ctx, run, state))
    ctx.store.runs.end(operation, state, receipt=receipt)
    ctx.store.finish(operation, OUTCOMES[state])
    return RunResult(operation, tuple(results), receipt)


def require_fresh(shown: str | None, plan: OperationPlan) -> None:
    """Raise Refused (PLAN_STALE) when what was shown is not what would be done now."""
    if shown is not None and shown != plan.fingerprint:
        raise Refused(
            Problem(
                "PLAN_STALE",
                "the site has changed since the plan was made; nothing was done",
                plan.target,
                "run it again and look at the new plan",
            )
        )


def _receipt(ctx: Context, run: Run, state: RunState) -> object:
    about = {
        "command": run.plan.command,
        "operation": run.operation,
        "target": run.plan.target,
        "state": state.value,
        "owner": run.owner,
        "started_at": run.started_at,
        "fingerprint": run.plan.fingerprint,
        "before": dict(run.plan.facts),
        "requests": counted_since(ctx, run.operation),
        "steps": steps_of(ctx, run.operation),
    }
    if before := told_of(ctx, run):
        about["continues"] = before
    return write_receipt(ctx, about)
