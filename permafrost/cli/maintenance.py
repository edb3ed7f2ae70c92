"""Commands that ask whether something may be stopped, and that take hosts away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.changing import Asked, change, report
from permafrost.cli.options import (
    ForceOption,
    Output,
    OutputOption,
    PlanOnlyOption,
    SiteOption,
    YesOption,
)
from permafrost.cli.session import open_site, print_json
from permafrost.errors import ExitStatus
from permafrost.planning.stop_verdict import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from permafrost.planning.steps import OperationPlan
    from permafrost.runbook.execution import RunResult

app = typer.Typer()
group = typer.Typer(help="Take a host or rack away, and bring it back.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="An ESXi host, or a rack of the site file.")]


@app.command("ok-to-stop")
def ok_to_stop(
    kind: Annotated[Kind, typer.Argument(help="What it is.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    site: SiteOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """May this be stopped now? What stops with it, who serves, and what speaks against it."""
    from permafrost.cli.render_operations import show_verdict
    from permafrost.runbook.maintenance import judge

    verdict = judge(open_site(site), kind, name)
    if output is Output.JSON:
        print_json(verdict.as_dict())
    else:
        show_verdict(verdict)
    if not verdict.is_ok:
        raise typer.Exit(int(ExitStatus.REFUSED))


@group.command("enter")
def enter(
    name: NameArgument,
    site: SiteOption = None,
    force: ForceOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Drain what serves there, move what may move, shut the rest down, close the host."""
    from permafrost.runbook import maintenance

    asked = Asked(site, yes, plan_only, output)
    _change(
        "enter",
        name,
        asked,
        partial(maintenance.preview_enter, force=force),
        partial(maintenance.enter, force=force),
    )


@group.command("exit")
def leave(
    name: NameArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Open the host, start what was shut down, bring each replica back through its probe."""
    from permafrost.runbook import maintenance

    _change("exit", name, Asked(site, yes, plan_only, output), maintenance.preview_exit,
            maintenance.leave)  # fmt: skip


@group.command("status")
def status(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show which hosts are away by our doing."""
    from permafrost.cli.screen import line
    from permafrost.runbook.maintenance import read_maintenance

    found = read_maintenance(open_site(site))
    if output is Output.JSON:
        print_json(found)
        return
    for host in found["hosts"]:
        away = ", ".join([*host["replicas"], *host["moved"]]) or "nothing"
        line(f"{host['host']} is {host['state']} since {host['since']} by {host['owner']}; "
             f"away with it: {away}; operation {host['operation']}")  # fmt: skip
    if not found["hosts"]:
        line("no host is in maintenance")


def _change(
    verb: str,
    name: str,
    asked: Asked,
    preview: Callable[..., OperationPlan],
    execute: Callable[..., RunResult],
) -> None:
    from permafrost.runbook.operations import operator

    command = f"maintenance {verb}"
    made = change(
        command,
        name,
        asked,
        lambda ctx, host: preview(ctx, host, owner=operator()),
        lambda ctx, host, shown: execute(ctx, host, owner=operator(), shown=shown),
    )
    if made is not None:
        now = "is in maintenance" if verb == "enter" else "is back"
        report(command, name, asked, made[1], now, {})
