"""Options that several commands share."""

from __future__ import annotations

import json
import os
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


def root_of(site: Path | None) -> Path:
    """Return the folder of the lab that is meant, also where it is not up.

    Raises LabError where a site file and PERMAFROST_LAB mean two different labs.
    """
    own = default_root()
    if site is None or not (site.absolute().parent / "lab.json").exists():
        return own
    root = site.absolute().parent
    if os.environ.get("PERMAFROST_LAB") and root != own:
        raise LabError(
            "LAB_AMBIGUOUS",
            f"the site file means lab {root.name}, PERMAFROST_LAB means {own.name}",
            "unset one of the two",
        )
    return root


def site_file(site: Path | None) -> Path:
    """Return the site file that is meant. Raises LabError when there is none."""
    found = site or load(default_root()).site_file
    if not found.exists():
        raise LabError("SITE_ABSENT", f"no site file {found}", "run permafrost-lab up")
    return found
