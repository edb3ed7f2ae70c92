"""`permafrost model …`: to and from the site's OCI registry."""

from __future__ import annotations

from typing import Annotated

import typer

from permafrost.cli.model_options import (
    HomeOption,
    ParentsOutsideOption,
    ReferenceArgument,
    UnsafeOption,
    WhyOption,
    models_of,
)
from permafrost.cli.options import Output, OutputOption, SiteOption
from permafrost.cli.session import load, print_json

app = typer.Typer()


@app.command()
def push(
    reference: ReferenceArgument,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Push a version, its signatures and fingerprints to the site's OCI registry.

    Run it again after a cut: what arrived whole is not sent again.
    """
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_transfer import push_model

    loaded, registry = load(site, is_locked=False), models_of(site, home)
    with progress(f"push {reference}") as meter:
        found = push_model(loaded, registry, reference, meter)
    if output is Output.JSON:
        print_json({"schema": 1, **found.as_dict(), **meter.as_dict()})
    else:
        typer.echo(f"{found.repository}@{found.version.digest}: {meter.says()}")


@app.command()
def pull(
    reference: Annotated[
        str, typer.Argument(metavar="NAME:TAG", help="Or NAME@sha256:…, with --as.")
    ],
    as_: Annotated[
        str | None, typer.Option("--as", metavar="NAME:VERSION", help="Register it so.")
    ] = None,
    allow_unsafe: UnsafeOption = False,
    parents_outside: ParentsOutsideOption = False,
    why: WhyOption = "",
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Pull a checkpoint from the site's OCI registry and register it as a candidate.

    Run it again after a cut: it goes on where it stopped.
    """
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_transfer import pull_model

    loaded, registry = load(site, is_locked=False), models_of(site, home, create=True)
    with progress(f"pull {reference}") as meter:
        found = pull_model(
            loaded,
            registry,
            reference,
            as_,
            meter,
            allow_unsafe=allow_unsafe,
            parents_outside=parents_outside,
            why=why,
        )
    if output is Output.JSON:
        print_json({"schema": 1, **found.as_dict(), **meter.as_dict()})
    else:
        note = "" if found.is_new else ", which was there already"
        typer.echo(f"{found.name}:{found.version} is {found.digest}{note}: {meter.says()}")
