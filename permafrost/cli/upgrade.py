"""Commands that give an endpoint another checkpoint, go back, and give the way back up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.changing import Asked, change, report
from permafrost.cli.options import Output, OutputOption, PlanOnlyOption, SiteOption, YesOption
from permafrost.planning.fitting import Accept

if TYPE_CHECKING:
    from collections.abc import Callable

    from permafrost.planning.steps import OperationPlan
    from permafrost.runbook.context import Context
    from permafrost.runbook.execution import RunResult

    Preview = Callable[[Context, str], OperationPlan]
    Execute = Callable[[Context, str, str], RunResult]

app = typer.Typer()
EndpointArgument = Annotated[str, typer.Argument(help="An endpoint of the site file.")]


@app.command()
def upgrade(
    endpoint: EndpointArgument,
    to: Annotated[
        str, typer.Option("--to", help="sha256:…, name@sha256:…, or name@stage of models.lock.")
    ],
    accept: Annotated[
        list[Accept] | None,
        typer.Option("--accept", help="What clients may notice and is meant; may be repeated."),
    ] = None,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Both versions may answer meanwhile.")
    ] = False,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Load another checkpoint beside the live one, prove it on each replica, switch every edge."""
    from permafrost.planning.upgrade import Wish
    from permafrost.runbook import upgrade as runbook
    from permafrost.runbook.operations import operator

    wish = Wish(operator(), frozenset(accept or ()), allow_mixed)
    _change(
        "upgrade",
        endpoint,
        Asked(site, yes, plan_only, output),
        lambda ctx, name: runbook.preview_upgrade(ctx, name, to, wish),
        lambda ctx, name, shown: runbook.upgrade(ctx, name, to, wish, shown=shown),
    )


@app.command()
def rollback(
    endpoint: EndpointArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Send every request back to the slot that answered before the upgrade."""
    from permafrost.runbook import upgrade as runbook
    from permafrost.runbook.operations import operator

    _change(
        "rollback",
        endpoint,
        Asked(site, yes, plan_only, output),
        runbook.preview_rollback,
        lambda ctx, name, shown: runbook.rollback(ctx, name, owner=operator(), shown=shown),
    )


@app.command()
def retire(
    endpoint: EndpointArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Unload the slot that does not answer: its memory is free, the way back is given up."""
    from permafrost.runbook import upgrade as runbook
    from permafrost.runbook.operations import operator

    _change(
        "retire",
        endpoint,
        Asked(site, yes, plan_only, output),
        runbook.preview_retire,
        lambda ctx, name, shown: runbook.retire(ctx, name, owner=operator(), shown=shown),
    )


def _change(verb: str, endpoint: str, asked: Asked, preview: Preview, execute: Execute) -> None:
    made = change(verb, endpoint, asked, preview, execute)
    if made is not None:
        ctx, done = made
        live = ctx.release(endpoint).checkpoint
        report(verb, endpoint, asked, done, f"serves {live}", {"live_checkpoint": live})
