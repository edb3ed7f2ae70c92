"""Commands about the keys with which clients ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.changing import Asked
from permafrost.cli.options import Output, OutputOption, SiteOption, YesOption
from permafrost.cli.session import confirm, open_site, print_json, say

if TYPE_CHECKING:
    from permafrost.runbook.clients import ClientEvidence

app = typer.Typer(help="Who may ask: client keys, on every edge.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="The client's name.")]


@app.command()
def add(
    name: NameArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a client's key. It is printed once and kept nowhere."""
    from permafrost.runbook.clients import add_client

    question = f"Make a key for {name} and tell every edge?"
    _change("add", name, question, Asked(site, yes, False, output), add_client)


@app.command()
def rotate(
    name: NameArgument,
    overlap_s: Annotated[
        int, typer.Option("--overlap-s", min=0, help="The old keys go on for so long.")
    ] = 86400,
    site: SiteOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make another key; the old ones end after the overlap, by the edges' own clock."""
    from permafrost.runbook.clients import rotate_client

    question = f"Make another key for {name}; its old ones end in {overlap_s} s?"
    _change(
        "rotate",
        name,
        question,
        Asked(site, yes, False, output),
        partial(rotate_client, overlap_s=overlap_s),
    )


@app.command()
def revoke(
    name: NameArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take all of a client's keys away, at once."""
    from permafrost.runbook.clients import revoke_client

    question = f"Take every key of {name} away?"
    _change("revoke", name, question, Asked(site, yes, False, output), revoke_client)


@app.command("list")
def list_keys(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show every key by its hash, ended ones too."""
    from permafrost.runbook.clients import list_clients

    keys = list_clients(open_site(site))
    if output is Output.JSON:
        print_json({"schema": 1, "keys": keys})
        return
    for key in keys:
        state = "valid" if key["valid"] else "ended"
        typer.echo(f"{key['client']}  {str(key['digest'])[:19]}…  {state}  {key['added_at']}")
    if not keys:
        typer.echo("there are no client keys")


def _change(
    verb: str, name: str, question: str, asked: Asked, work: Callable[..., ClientEvidence]
) -> None:
    asked.require_answer()
    from permafrost.runbook.operations import operator, site_held

    ctx = open_site(asked.site)
    confirm(question, asked.yes)
    with site_held(ctx, f"client {verb} {name}"):
        evidence = work(ctx, name, owner=operator())
    _show(evidence, asked.output)


def _show(evidence: ClientEvidence, output: Output) -> None:
    if output is Output.JSON:
        ended = {"operation": evidence.operation, "receipt": evidence.receipt}
        print_json({**evidence.as_dict(), **ended})
        return
    note = f" ({evidence.note})" if evidence.note else ""
    say(f"{evidence.client}: {evidence.valid_keys} valid{note}. Receipt: {evidence.receipt}")
    if evidence.key:
        say("its key, shown this once:")
        typer.echo(evidence.key)
