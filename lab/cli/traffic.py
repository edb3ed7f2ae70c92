"""``permafrost-lab traffic`` and ``check``: the options; the work is done in lab.traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.options import Output, OutputOption, SiteOption, emit, instance_of, site_file
from lab.errors import LabError
from permafrost.errors import ExitStatus


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(traffic)
    app.command()(check)
    app.command()(note)


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
    conversations: Annotated[int, typer.Option(help="conversations at a time, beside")] = 0,
    turns: Annotated[int, typer.Option(help="turns of a conversation")] = 4,
    channels: Annotated[int, typer.Option(help="long-open gRPC streams, beside")] = 0,
    channel_every_s: Annotated[float, typer.Option(help="time between requests on one")] = 5.0,
    also: Annotated[
        list[str] | None,
        typer.Option(help="DIGEST=PATH that may answer as well: pulse's weights, or a layout"),
    ] = None,
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
        conversations=conversations,
        turns=turns,
        channels=channels,
        channel_every_s=channel_every_s,
        also=also or (),
    )
    typer.echo(f"{sent} requests recorded in {out}")


def check(
    file: Annotated[Path, typer.Argument(help="what traffic recorded")],
    at: Annotated[
        list[str] | None, typer.Option(help="a time (RFC 3339): say how many were in flight")
    ] = None,
    strict: Annotated[bool, typer.Option(help="exit 4 when anything was lost or refused")] = False,
    window_s: Annotated[float, typer.Option(help="how long a request counts as new")] = 10.0,
    picture: Annotated[
        Path | None, typer.Option(help="draw rate, latency and errors: a .png or .svg file")
    ] = None,
    site: SiteOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Count the outcomes of a recorded load, apart for each fault and step of this lab."""
    from lab.traffic import cli
    from lab.traffic.check import has_losses

    records = cli.history(file)
    happened = cli.relevant(records, cli.marks(instance_of(site))) if _has_lab(site) else []
    summary = cli.summary(records, at or [], happened, window_s)
    if picture is not None:
        from lab.traffic.picture import draw

        draw(records, happened, picture)
    if output is Output.JSON:
        emit(summary)
    else:
        from lab.traffic.table import show

        show(summary)
    if strict and (has_losses(summary) or summary["outcomes"]["refused"]):
        raise typer.Exit(int(ExitStatus.FAILED))


def note(
    text: Annotated[str, typer.Argument(help="what happens now")], site: SiteOption = None
) -> None:
    """Write a note into the lab's record of faults, for `check` to mark."""
    from lab.faults.record import FaultRecord

    FaultRecord(instance_of(site).faults_file).remark(text)


def _has_lab(site: Path | None) -> bool:
    try:
        return bool(instance_of(site))
    except LabError:
        return False
