"""Go on with a deployment, or a typed ``pulumi up``, that was killed.

First what it left behind is put right, then the site is deployed as it would have been: a plan is
made anew from what there is now, shown and carried out. In the end Pulumi is asked without
targets whether anything is left to do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from permafrost.engine.state import Phase
from permafrost.errors import Failed, Problem, Refused
from permafrost.planning.deploy import BOOKKEEPING
from permafrost.planning.interruption import UNFINISHED, Interruption, require_ours
from permafrost.runbook.by_hand import by_hand
from permafrost.runbook.context import Context
from permafrost.runbook.operations import operator, site_held
from permafrost.runbook.unfinished import problem_of

DEPLOY = "deploy"


def find_interruption(ctx: Context) -> Interruption:
    """Return what was interrupted; Refused when a person's own operation comes first."""
    if unfinished := ctx.store.runs.unfinished():
        raise Refused(*(problem_of(run) for run in unfinished))
    ctx.provisioner.ensure_stack()
    latest = next((o for o in ctx.store.operations(100) if o.command == DEPLOY), None)
    is_open = latest is not None and latest.outcome in UNFINISHED
    found = ctx.provisioner.interruption()
    require_ours(found)
    return replace(found, operation=latest.id if latest is not None and is_open else "")


def is_deployment(ctx: Context, name: str) -> bool:
    """Whether an operation of that name is a deployment."""
    return any(o.id == name and o.command == DEPLOY for o in ctx.store.operations(1000))


def repair(ctx: Context, found: Interruption) -> str:
    """Put right what was left behind; return its receipt, empty where nothing was."""
    if not found.repairs:
        return ""
    stack = ctx.site.control.pulumi_stack
    before = found.as_dict()
    with (
        site_held(ctx, "resume"),
        by_hand(ctx, "repair", stack, owner=operator(), before=before, named="repair") as by,
    ):
        journal = by.journal
        journal("repair", stack, Phase.INTENT, found.as_dict())
        ctx.guard()
        ctx.provisioner.repair()
        left = ctx.provisioner.interruption()
        if left.repairs:
            journal("repair", stack, Phase.FAILED, left.as_dict())
            raise Failed(
                *(
                    Problem(
                        "REPAIR_INCOMPLETE",
                        f"{kind}: {detail}",
                        target,
                        "run `permafrost resume` again; what stays is repaired with `pulumi`: "
                        "`permafrost env` gives it the stack",
                    )
                    for kind, target, detail in left.repairs
                )
            )
        journal("repair", stack, Phase.DONE, found.as_dict())
        by.end({"left": left.as_dict()["repairs"]})
    return by.receipt


def require_clean(ctx: Context) -> None:
    """Raise Failed when Pulumi, asked about the whole stack, still has something to do."""
    left: list[Any] = [
        change for change in ctx.provisioner.preview() if not change.type.startswith(BOOKKEEPING)
    ]
    if left:
        raise Failed(
            *(
                Problem(
                    "PREVIEW_NOT_CLEAN",
                    f"Pulumi would still {change.operation} it",
                    change.name,
                    "run `permafrost plan`: it says why",
                )
                for change in left
            )
        )
