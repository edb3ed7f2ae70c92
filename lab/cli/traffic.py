"""``permafrost-lab traffic`` and ``check``: the options; the work is done in lab.traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.options import Output, OutputOption, SiteOption, emit, site_file
from permafrost.errors import ExitStatus


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(traffic)
    app.command()(check)


def traffic(
    endpoint: Annotated[str, typer.Option(help="endpoint of the site")],
    rate: Annotated[float, typer.Option(help="requests a second, sent whatever the answers do")],
    seconds: Annotated[float, typer.Option("--for", help="for how many seconds")],
    out: Annotated[Path, typer.Option(help="file to record to, one JSON line a request")],
    stream_share: Annotated[float, typer.Option(help="share of streamed requests, 0 to 1")] = 0.5,
    interval_ms: Annotated[int, typer.Option(help="pulse: time between tokens")] = 250,
    max_tokens: Annotated[int, typer.Option(help="tokens asked for")] = 16,
    timeout_s: Annotated[float, typer.Option(help="limit of one request")] = 120.0,
    fresh: Annotated[bool, typer.Option(help="each request on a connection of its own")] = False,
    site: SiteOption = None,
) -> None:
    """Send a load and record each answer beside what the frozen model must say."""
    from lab.traffic import cli

    sent = cli.traffic(
        site_file(site),
        endpoint,
        rate_per_s=rate,
        duration_s=seconds,
        stream_share=stream_share,
        out=out,
        interval_ms=interval_ms,
        max_tokens=max_tokens,
        timeout_s=timeout_s,
        fresh=fresh,
    )
    typer.echo(f"{sent} requests recorded in {out}")


def check(
    file: Annotated[Path, typer.Argument(help="what traffic recorded")],
    at: Annotated[
        list[str] | None, typer.Option(help="a time (RFC 3339): say how many were in flight")
    ] = None,
    strict: Annotated[bool, typer.Option(help="exit 4 when anything was lost")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Count the outcomes of a recorded load."""
    from lab.traffic import cli

    summary = cli.summary(file, at or [])
    if output is Output.JSON:
        emit(summary)
    else:
        for key, value in summary.items():
            typer.echo(f"{key}: {value}")
    outcomes = summary.get("outcomes", summary)
    if strict and any(outcomes.get(name) for name in ("failed", "cut", "wrong", "refused")):
        raise typer.Exit(int(ExitStatus.FAILED))
