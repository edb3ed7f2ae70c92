"""Open the site that a command is about; ask a person before something is changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from permafrost.errors import Problem, Refused, UsageError

if TYPE_CHECKING:
    from permafrost.runbook.context import Context
    from permafrost.site.load import LoadedSite


def site_path(site: Path | None) -> Path:
    """Return the site file that was named."""
    if site is None:
        raise UsageError(
            Problem(
                "SITE_NOT_NAMED",
                "no site file was named",
                hint="use --site FILE, or export PERMAFROST_SITE",
            )
        )
    return site


def load(site: Path | None, *, with_files: bool = True, is_locked: bool = True) -> LoadedSite:
    """Return the checked site, with models as the lock says unless that is asked about."""
    from permafrost.site.load import load_site

    return load_site(site_path(site), with_files=with_files, is_locked=is_locked)


def open_site(site: Path | None) -> Context:
    """Open the site with the real adapters; their progress goes to standard error."""
    from permafrost.wiring import open_context

    return open_context(site_path(site), progress=say)


def say(line: str) -> None:
    """Show a line of progress."""
    typer.echo(line, err=True)


def print_json(document: Any) -> None:
    """Print the one document of a command."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def require_answer(yes: bool) -> None:
    """Raise UsageError when a question would have nobody to answer it."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            Problem(
                "CONFIRMATION_NEEDED",
                "this changes the site, and there is no terminal to ask",
                hint="add --yes",
            )
        )


def confirm(question: str, yes: bool) -> None:
    """Ask; raise Refused when the answer is no."""
    if not yes and not typer.confirm(question, err=True):
        hint = "run it again and answer `y`, or give --yes"
        raise Refused(Problem("NOT_CONFIRMED", "nothing was done", hint=hint))
