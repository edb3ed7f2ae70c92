"""Options that several commands share, each said once."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from permafrost.planning.force import Force


class Output(StrEnum):
    """How a command reports."""

    TEXT = "text"
    JSON = "json"


def finite(value: float | None) -> float | None:
    """Return a number of the command line; BadParameter for `nan` and `inf`, which floats are."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to count with")
    return value


SiteOption = Annotated[
    Path | None,
    typer.Option("--site", envvar="PERMAFROST_SITE", help="The site file.", show_default=False),
]
OutputOption = Annotated[Output, typer.Option("--output", help="How to report.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
ForceOption = Annotated[
    Force | None,
    typer.Option("--force", help="What may be waived: fewer serve, nobody, edges unseen."),
]
PlanOnlyOption = Annotated[bool, typer.Option("--plan-only", help="Show the plan, do nothing.")]
