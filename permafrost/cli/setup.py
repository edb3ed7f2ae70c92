"""Commands about the site file and the machine one works from."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from permafrost.cli.options import Output, OutputOption, SiteOption
from permafrost.cli.session import load, open_site, print_json
from permafrost.errors import ExitStatus

app = typer.Typer()


@app.command()
def validate(
    site: SiteOption = None,
    files: Annotated[
        bool, typer.Option(help="Also look at the files that it names (secrets, certificates).")
    ] = True,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check the site file; all problems at once."""
    from permafrost.pki import owners_problems
    from permafrost.planning.unsupported import unsupported
    from permafrost.topology import nodes

    loaded = load(site, with_files=files)
    refused = (*unsupported(loaded.site), *(owners_problems(loaded) if files else ()))
    found = [
        {"name": n.name, "tier": n.tier.value, "endpoint": n.endpoint, "address": str(n.address)}
        for n in nodes(loaded.site)
    ]
    if output is Output.JSON:
        print_json(
            {
                "schema": 1,
                "site": loaded.site.site,
                "valid": True,
                "nodes": found,
                "unsupported": [p.as_dict() for p in refused],
            }
        )
        return
    typer.echo(f"{loaded.path}: site {loaded.site.site} is valid, {len(found)} nodes")
    for node in found:
        typer.echo(f"  {node['name']}  {node['address']}")
    for problem in refused:
        typer.echo(f"deploy would refuse: {problem.code} {problem.path}: {problem.message}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the site file, for editors."""
    from permafrost.site.model import Site

    typer.echo(json.dumps(Site.model_json_schema(by_alias=True), indent=2))


@app.command()
def env(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Print the exports with which a typed `pulumi` reaches the site's stack."""
    ctx = open_site(site)
    ctx.provisioner.ensure_stack()
    variables = ctx.provisioner.env()
    if output is Output.JSON:
        print_json({"schema": 1, "variables": variables})
        return
    for name, value in sorted(variables.items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def doctor(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Check tools, services and state; say what is a stand-in."""
    from permafrost.cli.render import show_findings
    from permafrost.runbook.doctor import examine
    from permafrost.runbook.findings import Level

    ctx = open_site(site)
    findings = examine(ctx)
    if output is Output.JSON:
        print_json(
            {
                "schema": 1,
                "site": ctx.site.site,
                "environment": ctx.site.environment,
                "checks": [f.as_dict() for f in findings],
            }
        )
    else:
        show_findings(findings)
    if any(f.level is Level.PROBLEM for f in findings):
        raise typer.Exit(int(ExitStatus.FAILED))
