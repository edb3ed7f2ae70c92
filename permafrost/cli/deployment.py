"""Commands that make the whole site what its file says."""

from __future__ import annotations

from typing import Annotated

import typer

from permafrost.cli.changing import Asked
from permafrost.cli.options import Output, OutputOption, PlanOnlyOption, SiteOption, YesOption
from permafrost.cli.session import confirm, open_site, print_json, require_answer

app = typer.Typer()


@app.command()
def plan(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show what `deploy` would do."""
    from permafrost.cli.render import show_plan
    from permafrost.runbook.deploy import make_plan

    made = make_plan(open_site(site))
    if output is Output.JSON:
        print_json(made.as_dict())
    else:
        show_plan(made)


@app.command()
def deploy(
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make the site what its file says, and verify that it serves."""
    if plan_only:
        plan(site, output)
        return
    require_answer(yes)
    from permafrost.cli.render import show_plan
    from permafrost.cli.screen import line
    from permafrost.runbook.deploy import execute, make_plan, require_supported
    from permafrost.runbook.unfinished import require_undisturbed

    ctx = open_site(site)
    made = make_plan(ctx)
    if output is Output.TEXT:
        show_plan(made)
    require_supported(made)
    require_undisturbed(ctx, made)
    if made.steps:
        confirm(f"Do these {len(made.steps)} steps?", yes)
    receipt = execute(ctx, made)
    if output is Output.JSON:
        print_json(receipt)
    else:
        did = f"{receipt['changed']} steps done" if receipt["changed"] else "nothing had to change"
        line(
            f"{did}; verified: every replica that should serve does. Receipt: {receipt['receipt']}"
        )


@app.command()
def destroy(
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Remove every VM, rule, folder and pool of the site."""
    asked = Asked(site, yes, plan_only, output)
    asked.require_answer()
    from permafrost.cli.render import show_plan
    from permafrost.cli.screen import line
    from permafrost.runbook.destroy import execute_destroy, make_destroy_plan

    ctx = open_site(site)
    made = make_destroy_plan(ctx)
    question = "Remove all this? Clients get no more answers."
    if not asked.agree(lambda: show_plan(made), made.as_dict, question):
        return
    receipt = execute_destroy(ctx, made)
    if output is Output.JSON:
        print_json(receipt)
    else:
        line(f"removed. Receipt: {receipt['receipt']}")


@app.command()
def converge(
    node: Annotated[str, typer.Argument(help="A node of the site.")],
    site: SiteOption = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what would change.")] = False,
    renew: Annotated[
        bool, typer.Option("--renew-certificate", help="With another key and certificate.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Configure one node again; a replica is drained before and admitted after."""
    if check and renew:
        raise typer.BadParameter("--check changes nothing, so it renews nothing")
    if not check:
        require_answer(yes)
    from permafrost.cli.screen import line
    from permafrost.planning.lookup import node_named
    from permafrost.runbook.converge import check_node, converge_for, require_allowed
    from permafrost.runbook.operations import operator, site_held

    ctx = open_site(site)
    target = node_named(ctx.site, node)
    if check:
        evidence = check_node(ctx, target)
    else:
        alone = require_allowed(ctx, target, renew_certificate=renew)
        question = f"Renew the certificate of {node}, and nothing else?"
        confirm(question if alone else f"Configure {node} again?", yes)
        with site_held(ctx, f"converge {node}"):
            evidence = converge_for(ctx, target, owner=operator(), renew_certificate=renew)
    if output is Output.JSON:
        ended = {"operation": evidence.operation or None, "receipt": evidence.receipt or None}
        print_json({**evidence.as_dict(), **ended})
        return
    would = "would change" if check else "changed"
    line(f"{node}: {would} {evidence.changed}")
    for task in evidence.tasks:
        line(f"  {task}")
    if evidence.receipt:
        line(f"Receipt: {evidence.receipt}")
