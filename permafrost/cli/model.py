"""`permafrost model …`: looking at models, and adding them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from permafrost.cli import model_changes, model_fingerprint, model_signatures, model_transfer
from permafrost.cli.model_options import (
    HomeOption,
    NameArgument,
    ReferenceArgument,
    UnsafeOption,
    WhyOption,
    models_of,
)
from permafrost.cli.options import Output, OutputOption, SiteOption
from permafrost.cli.session import load, print_json

app = typer.Typer(help="Frozen checkpoints: versions, lineage, stages.", no_args_is_help=True)
app.registered_commands += model_changes.app.registered_commands
app.registered_commands += model_signatures.app.registered_commands
app.registered_commands += model_transfer.app.registered_commands
app.add_typer(model_fingerprint.app, name="fingerprint")


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="The model's files.")],
    label: Annotated[str, typer.Argument(metavar="NAME:VERSION", help="Never given twice.")],
    lineage: Annotated[
        Path | None, typer.Option("--lineage", help="JSON: method, parents, data sets.")
    ] = None,
    allow_unsafe: UnsafeOption = False,
    why: WhyOption = "",
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a folder an immutable version, as a candidate."""
    from permafrost.cli.progress import progress
    from permafrost.runbook.model import add_model

    registry = models_of(site, home, create=True)
    with progress(f"add {label}") as meter:
        found = add_model(
            registry,
            folder,
            label,
            lineage=lineage,
            allow_unsafe=allow_unsafe,
            why=why,
            meter=meter,
        )
    if output is Output.JSON:
        print_json({"schema": 1, **found.as_dict()})
    else:
        note = "" if found.is_new else ", which was there already"
        typer.echo(f"{label} is {found.digest}{note}")


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Of this name alone.")] = None,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List versions and their stages."""
    from permafrost.cli.model_render import show_versions
    from permafrost.runbook.model import list_models

    found = list_models(models_of(site, home), name)
    if output is Output.JSON:
        print_json({"schema": 1, "versions": [v.as_dict() for v in found]})
    else:
        show_versions(found)


@app.command()
def show(
    reference: ReferenceArgument,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show all that is known of a version."""
    from permafrost.cli.model_render import show_version
    from permafrost.runbook.model import show_model

    found = show_model(models_of(site, home), reference)
    if output is Output.JSON:
        print_json({"schema": 1, **found})
    else:
        show_version(found)


@app.command()
def lineage(
    reference: ReferenceArgument,
    descendants: Annotated[
        bool, typer.Option("--descendants", help="What was made from it instead.")
    ] = False,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Draw what a version was made from."""
    from permafrost.cli.model_render import show_lineage
    from permafrost.runbook.model import model_lineage

    found = model_lineage(models_of(site, home), reference, down=descendants)
    if output is Output.JSON:
        print_json({"schema": 1, **found.as_dict()})
    else:
        show_lineage(found)


@app.command()
def history(
    name: NameArgument,
    at: Annotated[
        str | None, typer.Option("--at", help="What was production, and served, then (RFC 3339)?")
    ] = None,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Tell what was done to a name; or what was production at a time, and served at a site."""
    from model_registry.catalogue.model import Stage
    from permafrost.cli.model_render import show_history
    from permafrost.runbook.model import model_at, model_history
    from permafrost.runbook.model_served import model_served

    registry = models_of(site, home)
    if at is None:
        events = model_history(registry, name)
        if output is Output.JSON:
            print_json({"schema": 1, "name": name, "events": [e.as_dict() for e in events]})
        else:
            show_history(events)
        return
    held = model_at(registry, name, Stage.PRODUCTION, at)
    served = model_served(load(site, is_locked=False), registry, name, at) if site else None
    if output is Output.JSON:
        production = held.as_dict() if held else None
        told = None if served is None else [s.as_dict() for s in served]
        print_json({"schema": 1, "name": name, "at": at, "production": production, "served": told})
        return
    if held is None:
        typer.echo(f"nothing of {name} was production at {at}")
    else:
        why = f" ({held.why})" if held.why else ""
        typer.echo(f"{name}:{held.version} {held.digest} since {held.since}, by {held.who}{why}")
    for one in served or ():
        found = one.approved
        by = f"approved {found.since} by {found.who}" if found else "approved by nobody"
        where = f"{one.served.endpoint} ({', '.join(one.served.replicas)})"
        typer.echo(f"served by {where}: {name}:{one.version}, since {one.served.since}; {by}")


@app.command()
def diff(
    one: ReferenceArgument,
    other: ReferenceArgument,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Tell how two versions differ, and how many bytes a move would cost."""
    from permafrost.runbook.model import diff_models

    found = diff_models(models_of(site, home), one, other)
    if output is Output.JSON:
        print_json({"schema": 1, **found.as_dict()})
        return
    for mark, paths in (("-", found.removed), ("+", found.added), ("~", found.changed)):
        for path in paths:
            typer.echo(f"{mark} {path}")
    for key, (before, after) in found.facts.items():
        typer.echo(f"  {key}: {before or '-'} → {after or '-'}")
    typer.echo(f"{len(found.same)} files are the same; {found.moved:,} bytes to move")
