"""What ran: every operation, those of the executor and those that run as a whole alike."""

from __future__ import annotations

from typing import Any

from permafrost.engine.state import Operation, Phase
from permafrost.errors import Problem, Refused
from permafrost.runbook.context import Context
from permafrost.runbook.operations import RECEIPT

STATES = {None: "running", "DONE": "done", "ABORTED": "aborted", "PAUSED": "paused"}


def history(ctx: Context, limit: int) -> list[dict[str, Any]]:
    """Return the latest operations, newest first, in the form of `show`."""
    return [_as_dict(ctx, found) for found in ctx.store.operations(limit)]


def show(ctx: Context, operation: str) -> dict[str, Any]:
    """Return one operation with its plan and journal; Refused when there is none."""
    found = next((o for o in ctx.store.operations(100_000) if o.id == operation), None)
    if found is None:
        known = ", ".join(o.id for o in ctx.store.operations(5)) or "none"
        raise Refused(
            Problem(
                "OPERATION_UNKNOWN",
                "there is no such operation",
                operation,
                f"the latest are: {known}; `permafrost history` lists them",
            )
        )
    run = ctx.store.runs.get(operation)
    journal = [
        {
            "step": e.step,
            "kind": e.kind,
            "target": e.target,
            "phase": e.phase.value,
            "at": e.at,
            "detail": e.detail,
        }
        for e in ctx.store.journal(operation)
    ]
    plan = run.plan.as_dict() if run else None
    return {**_as_dict(ctx, found), "plan": plan, "journal": journal}


def _as_dict(ctx: Context, found: Operation) -> dict[str, Any]:
    run = ctx.store.runs.get(found.id)
    if run is not None:
        return run.as_dict()
    journal = ctx.store.journal(found.id)
    written = [e for e in journal if e.kind == RECEIPT and e.phase is Phase.DONE]
    return {
        "schema": 1,
        "operation": found.id,
        "command": found.command,
        "state": "paused" if found.is_interrupted else STATES.get(found.outcome, "failed"),
        "step": f"{journal[-1].step} {journal[-1].kind}" if journal else "",
        "receipt": written[-1].detail["receipt"] if written else None,
        "interrupted": found.is_interrupted or found.outcome == "CUT",
        "direction": "forward",
        "owner": found.owner,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "error": None,
        "continued_by": None,
    }
