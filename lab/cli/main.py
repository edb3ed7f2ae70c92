"""``permafrost-lab``: the lab itself, its load and its faults."""

from __future__ import annotations

import json
import logging
import sys
from itertools import pairwise

import typer

from lab.cli import fault, site, traffic
from permafrost.errors import PermafrostError

app = typer.Typer(
    name="permafrost-lab",
    help="One Linux machine as a small vSphere site.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
site.register(app)
traffic.register(app)
app.add_typer(fault.app, name="fault")


def main() -> None:
    """Run a command; errors go to standard error, as JSON where JSON was asked for."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except PermafrostError as error:
        typer.echo(report(error, as_json=wants_json(sys.argv[1:])), err=True)
        sys.exit(int(error.exit_status))


def wants_json(arguments: list[str]) -> bool:
    """Whether a command line asks for JSON."""
    pairs = pairwise(arguments)
    return "--output=json" in arguments or ("--output", "json") in pairs


def report(error: PermafrostError, *, as_json: bool) -> str:
    """Return an error for a person or for a program."""
    if as_json:
        return json.dumps([problem.as_dict() for problem in error.problems])
    return str(error)


if __name__ == "__main__":
    main()
