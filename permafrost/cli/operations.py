"""Commands about operations: what ran, how far it is, going on, taking back, receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from permafrost.cli.changing import Asked, show_steps
from permafrost.cli.options import Output, OutputOption, PlanOnlyOption, SiteOption, YesOption
from permafrost.cli.session import open_site, print_json

app = typer.Typer()
receipt_app = typer.Typer(help="What operations left behind.", no_args_is_help=True)
OperationArgument = Annotated[str, typer.Argument(help="An operation, as `history` lists it.")]


@app.command()
def history(
    site: SiteOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 20,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the latest operations, newest first."""
    from permafrost.cli.render_operations import show_history
    from permafrost.runbook import history as past

    runs = past.history(open_site(site), limit)
    if output is Output.JSON:
        print_json({"schema": 1, "operations": runs})
    else:
        show_history(runs)


@app.command()
def show(
    operation: OperationArgument, site: SiteOption = None, output: OutputOption = Output.TEXT
) -> None:
    """Show one operation: how far it is, what each step saw."""
    from permafrost.cli.render_operations import show_run
    from permafrost.runbook import history as past

    document = past.show(open_site(site), operation)
    if output is Output.JSON:
        print_json(document)
    else:
        show_run(document)


@app.command()
def pause(
    operation: OperationArgument, site: SiteOption = None, output: OutputOption = Output.TEXT
) -> None:
    """Have a running operation stop before its next step."""
    from permafrost.cli.screen import line
    from permafrost.runbook.recovery import pause_run

    run = pause_run(open_site(site), operation)
    if output is Output.JSON:
        print_json(run.as_dict())
    else:
        line(f"{operation} stops before its next step; now at {run.step or 'its beginning'}")


@app.command()
def resume(
    operation: Annotated[
        str | None,
        typer.Argument(help="An operation, as `history` lists it; default: the deployment."),
    ] = None,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Finish an operation that was interrupted, paused or has failed.

    Without an operation: what a killed deployment or `pulumi up` left is repaired, then deployed.
    """
    from permafrost.cli.resumption import resume_deployment
    from permafrost.runbook.resumption import is_deployment

    if operation is None or is_deployment(open_site(site), operation):
        resume_deployment(site, yes, plan_only, output)
        return
    _recover("resume", operation, Asked(site, yes, plan_only, output))


@app.command()
def abort(
    operation: OperationArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take back what an operation did."""
    _recover("abort", operation, Asked(site, yes, plan_only, output))


def _recover(verb: str, operation: str, asked: Asked) -> None:
    asked.require_answer()
    from permafrost.cli.screen import line
    from permafrost.runbook import recovery
    from permafrost.runbook.operations import site_held

    ctx = open_site(asked.site)
    preview = recovery.preview_resume if verb == "resume" else recovery.preview_abort
    made = preview(ctx, operation)
    question = f"{verb.capitalize()} {operation}?"
    if not asked.agree(lambda: show_steps(made), made.as_dict, question):
        return
    execute = recovery.resume_run if verb == "resume" else recovery.abort_run
    shown = None if asked.asks_nobody else made.fingerprint
    with site_held(ctx, f"{verb} {operation}"):
        execute(ctx, operation, shown=shown)
    run = recovery.run_named(ctx, operation)
    if asked.output is Output.JSON:
        print_json(run.as_dict())
    else:
        line(f"{operation} is {run.state.value}. Receipt: {run.receipt or 'none'}")


@receipt_app.command("verify")
def verify(
    site: SiteOption = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="The signer's public key, as it was kept.")
    ] = None,
    kept: Annotated[
        str, typer.Option("--kept", help="A receipt's digest that must be in the chain.")
    ] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Find a receipt that was edited, a chain written anew, cut off, or signed by another."""
    from permafrost.cli.screen import line
    from permafrost.errors import Failed

    receipts = open_site(site).store.receipts
    count, problems = receipts.verify(key, kept)
    head = receipts.head() or None
    if output is Output.JSON:
        found = [p.as_dict() for p in problems]
        print_json({"schema": 1, "receipts": count, "head": head, "problems": found})
    if problems:
        raise Failed(*problems)
    if output is Output.TEXT:
        line(f"{count} receipts, each as it was written and signed, each following the one before")
        line(f"the latest is {head or 'none'}: keep that, and `--kept` tells of a chain cut off")
