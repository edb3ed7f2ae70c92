"""``permafrost-lab up | down | status | usage``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lab.cli.options import Output, OutputOption, SiteOption, emit, instance_of, root_of
from lab.instance.template import STANDARD


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(usage)


def up(
    site: SiteOption = None,
    like: Annotated[
        Path, typer.Option(help="site file with placeholders (default: sites/lab.yaml)")
    ] = STANDARD,
) -> None:
    """Start this lab's vCenter, registry and package source; write its site file."""
    from lab.instance import up as steps

    root = root_of(site)
    typer.echo(f"lab {root.name}")
    instance = steps.up(root, typer.echo, like.absolute())
    typer.echo(f"lab {instance.id} is up: export PERMAFROST_SITE={instance.site_file}")


def down(site: SiteOption = None) -> None:
    """Remove every machine, mount, link, control group, process and file of this lab."""
    from lab import cleanup

    root = root_of(site)
    removed = 0
    for what in cleanup.remove(root):
        typer.echo(f"removed {what}")
        removed += 1
    if not removed:
        typer.echo(f"nothing of lab {root.name} was left")


def status(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Say what stands where."""
    from lab.instance.status import describe

    document = describe(instance_of(site))
    if output is Output.JSON:
        emit(document)
        return
    for line in _lines(document):
        typer.echo(line)


def usage(
    seconds: Annotated[float, typer.Option("--for", help="for how many seconds")] = 10.0,
    site: SiteOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what the lab's servers and machines cost: memory, and CPU over a while."""
    from lab.instance.usage import measure

    found = measure(instance_of(site), seconds)
    total = {key: round(sum(p[key] for p in found), 4) for key in ("processes", "pss_mib", "cpu")}
    if output is Output.JSON:
        emit({"seconds": seconds, "parts": found, "total": total})
        return
    for part in [*found, {"name": "total", **total}]:
        typer.echo(
            f"{part['name']:<18} {part['processes']:>4} processes "
            f"{part['pss_mib']:>8.1f} MiB {part['cpu'] * 100:>6.1f} % of a core"
        )


def _lines(document: dict[str, Any]) -> list[str]:
    vcenter = document["vcenter"]
    lines = [
        f"lab {document['id']}  {document['subnet']}",
        f"vCenter   {vcenter['url']}  user {vcenter['user']}  password in "
        f"{vcenter['password_file']}",
        *(f"service   {s['name']:<10} {s['power']}" for s in document["services"]),
        *(f"host      {h['name']:<14} {h['state']}" for h in document["hosts"]),
    ]
    for machine in document["machines"]:
        lines.append(
            f"machine   {machine['name']:<16} {machine['power']:<4} "
            f"{machine['address'] or '-':<15} {machine['host']}"
        )
    lines += [f"fault     {f['id']} {f['kind']} {f['target']}" for f in document["faults"]]
    return lines
