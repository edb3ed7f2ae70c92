"""The command that gives a knowledge member back what its disk has lost."""

from __future__ import annotations

from typing import Annotated

import typer

from permafrost.cli.changing import Asked
from permafrost.cli.options import Output, OutputOption, PlanOnlyOption, SiteOption, YesOption
from permafrost.cli.session import open_site, print_json

app = typer.Typer()


@app.command()
def rebuild(
    member: Annotated[str, typer.Argument(help="A member of the knowledge tier.")],
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give a knowledge member whose data disk is empty everything back from the others."""
    asked = Asked(site, yes, plan_only, output)
    asked.require_answer()
    from permafrost.cli.screen import line
    from permafrost.runbook import rebuild as work
    from permafrost.runbook.operations import operator, site_held

    ctx = open_site(site)
    made = work.preview_rebuild(ctx, member)

    def show() -> None:
        for store in made.stores:
            line(f"{member} gets {store}")
        if not made.stores:
            line(f"{member} has begun to come back: it is gone on with")

    if not asked.agree(show, made.as_dict, f"Rebuild {member}?"):
        return
    with site_held(ctx, f"rebuild {member}"):
        evidence = work.rebuild(ctx, member, owner=operator())
    if output is Output.JSON:
        ended = {"operation": evidence.operation, "receipt": evidence.receipt}
        print_json({**made.as_dict(), "evidence": evidence.as_dict(), **ended})
    else:
        line(
            f"{member} is back: the tier is whole, and every proxy answers right. "
            f"Receipt: {evidence.receipt}"
        )
