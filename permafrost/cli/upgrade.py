"""Commands that give an endpoint another checkpoint, go back, and give the way back up."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.changing import Asked, change, report
from permafrost.cli.options import (
    ForceOption,
    Output,
    OutputOption,
    PlanOnlyOption,
    SiteOption,
    YesOption,
    finite,
)
from permafrost.planning.upgrade_words import Accept, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from permafrost.planning.steps import OperationPlan
    from permafrost.runbook.context import Context
    from permafrost.runbook.execution import RunResult

    Preview = Callable[[Context, str], OperationPlan]
    Execute = Callable[[Context, str, str], RunResult]

app = typer.Typer()


class Way(StrEnum):
    """The strategies, as words of a command line."""

    SIDE_BY_SIDE = "side-by-side"
    CUT_OVER = "cut-over"
    ROLLING = "rolling"


WAYS = dict(zip(Way, Strategy, strict=True))
MixedOption = Annotated[
    bool, typer.Option("--allow-mixed", help="Both versions may answer meanwhile.")
]
WayOption = Annotated[
    Way | None, typer.Option("--way", help="This way and no other; else the safest is chosen.")
]
PinsOption = Annotated[
    float,
    typer.Option(
        "--keep-pins",
        min=0,
        callback=finite,
        help="Seconds that pins keep the old version where memory is short.",
    ),
]
EndpointArgument = Annotated[str, typer.Argument(help="An endpoint of the site file.")]


@app.command()
def upgrade(
    endpoint: EndpointArgument,
    to: Annotated[
        str, typer.Option("--to", help="sha256:…, name@sha256:…, or name@stage of models.lock.")
    ],
    accept: Annotated[
        list[Accept] | None,
        typer.Option("--accept", help="What clients may notice and is meant; may be repeated."),
    ] = None,
    allow_mixed: MixedOption = False,
    way: WayOption = None,
    canary: Annotated[
        float | None,
        typer.Option(
            "--canary", callback=finite, help="First this share of requests, in percent."
        ),
    ] = None,
    canary_for: Annotated[
        float,
        typer.Option("--canary-for", callback=finite, help="Seconds that the canary is watched."),
    ] = 300.0,
    keep_pins: PinsOption = 0.0,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give an endpoint another checkpoint, proven on each replica; the way is shown first."""
    from permafrost.planning.canary import canary_of
    from permafrost.planning.upgrade import Wish
    from permafrost.runbook import upgrade as runbook
    from permafrost.runbook.operations import operator

    wish = Wish(
        operator(),
        frozenset(accept or ()),
        allow_mixed,
        WAYS[way] if way else None,
        canary_of(canary, canary_for),
        keep_pins,
    )
    _change(
        "upgrade",
        endpoint,
        Asked(site, yes, plan_only, output),
        lambda ctx, name: runbook.preview_upgrade(ctx, name, to, wish),
        lambda ctx, name, shown: runbook.upgrade(ctx, name, to, wish, shown=shown),
    )


@app.command()
def rollback(
    endpoint: EndpointArgument,
    allow_mixed: MixedOption = False,
    way: WayOption = None,
    keep_pins: PinsOption = 0.0,
    force: ForceOption = None,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give back what answered before: at once while it is loaded, else by an upgrade to it."""
    from permafrost.planning.upgrade import Wish
    from permafrost.runbook import upgrade as runbook
    from permafrost.runbook.operations import operator

    me = operator()
    wish = Wish(me, frozenset(), allow_mixed, WAYS[way] if way else None, None, keep_pins)
    _change(
        "rollback",
        endpoint,
        Asked(site, yes, plan_only, output),
        lambda ctx, name: runbook.preview_rollback(ctx, name, wish, force=force),
        lambda ctx, name, shown: runbook.rollback(
            ctx, name, owner=me, wish=wish, force=force, shown=shown
        ),
    )


@app.command()
def retire(
    endpoint: EndpointArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Unload the slot that does not answer: its memory is free, the way back is given up."""
    from permafrost.runbook import upgrade as runbook
    from permafrost.runbook.operations import operator

    _change(
        "retire",
        endpoint,
        Asked(site, yes, plan_only, output),
        runbook.preview_retire,
        lambda ctx, name, shown: runbook.retire(ctx, name, owner=operator(), shown=shown),
    )


def _change(verb: str, endpoint: str, asked: Asked, preview: Preview, execute: Execute) -> None:
    made = change(verb, endpoint, asked, preview, execute)
    if made is not None:
        ctx, done = made
        live = ctx.release(endpoint).checkpoint
        report(verb, endpoint, asked, done, f"serves {live}", {"live_checkpoint": live})
