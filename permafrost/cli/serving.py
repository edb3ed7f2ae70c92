"""Commands that look and ask."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from permafrost.cli.options import Output, OutputOption, SiteOption, finite
from permafrost.cli.session import load, open_site, print_json

app = typer.Typer()


@app.command()
def status(site: SiteOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show replicas, edges, and which host holds what."""
    from permafrost.cli.render import show_status
    from permafrost.runbook.status import read_status

    found = read_status(open_site(site))
    if output is Output.JSON:
        print_json(found.as_dict())
    else:
        show_status(found)


@app.command()
def ask(
    endpoint: Annotated[str, typer.Argument(help="An endpoint of the site.")],
    text: Annotated[str, typer.Argument(help="The prompt.")],
    site: SiteOption = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1)] = 128,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=1, callback=finite)] = 120,
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask an endpoint as a client does: through the edge, trusting the site's CA.

    A client key is taken from PERMAFROST_CLIENT_KEY: a command line is seen by others.
    """
    from permafrost.runbook.ask import ask as ask_site

    def show(piece: str) -> None:
        if output is Output.TEXT:
            typer.echo(piece, nl=False)

    answer = ask_site(
        load(site),
        endpoint,
        text,
        max_tokens=max_tokens,
        timeout_s=timeout_s,
        key=os.environ.get("PERMAFROST_CLIENT_KEY", ""),
        on_text=show,
    )
    if output is Output.JSON:
        print_json(answer.as_dict())
        return
    typer.echo("")
    typer.echo(
        f"[{answer.replica}, {answer.checkpoint}, first token after {answer.ttft_ms:.0f} ms, "
        f"whole after {answer.total_ms:.0f} ms]",
        err=True,
    )
