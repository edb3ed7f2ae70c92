"""Commands that give an endpoint another checkpoint, go back, and give the way back up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.options import Output, OutputOption, PlanOnlyOption, SiteOption, YesOption
from permafrost.cli.session import confirm, open_site, print_json, require_answer
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
        site,
        yes,
        plan_only,
        output,
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
        site,
        yes,
        plan_only,
        output,
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
        site,
        yes,
        plan_only,
        output,
        runbook.preview_retire,
        lambda ctx, name, shown: runbook.retire(ctx, name, owner=operator(), shown=shown),
    )


def _change(
    verb: str,
    endpoint: str,
    site: Path | None,
    yes: bool,
    plan_only: bool,
    output: Output,
    preview: Preview,
    execute: Execute,
) -> None:
    if not plan_only:
        require_answer(yes)
    from permafrost.cli.render_operations import show_operation_plan
    from permafrost.runbook.operations import site_held
    from permafrost.runbook.recovery import require_nothing_unfinished

    ctx = open_site(site)
    made = preview(ctx, endpoint)
    if output is Output.TEXT:
        show_operation_plan(made)
    if plan_only:
        if output is Output.JSON:
            print_json(made.as_dict())
        return
    confirm(f"Do these {len(made.steps)} steps?", yes or not made.steps)
    command = f"{verb} {endpoint}"
    with site_held(ctx, command):
        require_nothing_unfinished(ctx, command)
        done = execute(ctx, endpoint, made.fingerprint)
    _report(verb, endpoint, done, ctx.release(endpoint).checkpoint, output)


def _report(verb: str, endpoint: str, done: RunResult, live: str, output: Output) -> None:
    from permafrost.cli.render import line

    changed = sum(r.changed for r in done.results)
    if output is Output.JSON:
        print_json(
            {
                "schema": 1,
                "command": verb,
                "target": endpoint,
                "live_checkpoint": live,
                "operation": done.operation or None,
                "changed": changed,
                "steps": [r.as_dict() for r in done.results],
                "receipt": done.receipt or None,
            }
        )
    elif not done.operation:
        line(f"{endpoint}: nothing to do")
    else:
        line(f"{endpoint} serves {live}: {changed} steps done. Receipt: {done.receipt}")
