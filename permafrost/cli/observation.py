"""Commands that look at vCenter: what stands where, and whether it is as deployed."""

from __future__ import annotations

from typing import Annotated

import typer

from permafrost.cli.options import Output, OutputOption, SiteOption, YesOption
from permafrost.cli.session import confirm, open_site, print_json, require_answer
from permafrost.errors import ExitStatus

app = typer.Typer()


@app.command()
def drift(
    site: SiteOption = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Record the settings of DRS and HA as they are now.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show where vCenter is not as deployed; exit 4 when it is not."""
    if accept:
        require_answer(yes)
    from permafrost.cli.render_observation import show_drift
    from permafrost.cli.screen import line
    from permafrost.runbook.drift import accept_settings, read_drift
    from permafrost.runbook.operations import operator, site_held

    ctx = open_site(site)
    ended: dict[str, str] = {}
    if accept:
        if output is Output.TEXT:
            show_drift(read_drift(ctx))
        confirm("Record the cluster's settings as they are now?", yes)
        with site_held(ctx, "drift --accept"):
            done = accept_settings(ctx, owner=operator())
        ended = {"operation": done.operation, "receipt": done.receipt}
    found = read_drift(ctx)
    if output is Output.JSON:
        print_json({**found.as_dict(), **ended})
    else:
        show_drift(found)
        if ended:
            line(f"Receipt: {ended['receipt']}")
    if found.drift:
        raise typer.Exit(int(ExitStatus.FAILED))


@app.command()
def preflight(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show what would stop a VM at power-on, before anybody tries; exit 4 when something would."""
    from permafrost.cli.render_observation import show_preflight
    from permafrost.runbook.preflight import read_preflight

    found = read_preflight(open_site(site))
    if output is Output.JSON:
        print_json(found.as_dict())
    else:
        show_preflight(found)
    if found.problems:
        raise typer.Exit(int(ExitStatus.FAILED))
