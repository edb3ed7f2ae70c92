"""Options that several commands share."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.errors import LabError
from lab.instance.model import Instance, default_root, load


class Output(StrEnum):
    """How a command reports."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", help="text, or json for programs")]
SiteOption = Annotated[
    Path | None,
    typer.Option("--site", envvar="PERMAFROST_SITE", help="site file (default: this lab's)"),
]


def emit(document: dict[str, Any]) -> None:
    """Print a document for programs."""
    typer.echo(json.dumps({"schema": 1, **document}))


def instance_of(site: Path | None) -> Instance:
    """Return the lab that a site file belongs to, else the one of this checkout."""
    if site is not None and (site.absolute().parent / "lab.json").exists():
        return load(site.absolute().parent)
    return load(default_root())


def site_file(site: Path | None) -> Path:
    """Return the site file that is meant. Raises LabError when there is none."""
    found = site or load(default_root()).site_file
    if not found.exists():
        raise LabError("SITE_ABSENT", f"no site file {found}", "run permafrost-lab up")
    return found
