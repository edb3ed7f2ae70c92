"""``permafrost-lab``: the lab itself, its load and its faults."""

from __future__ import annotations

import logging
import sys

import typer

from lab.cli import fault, site, traffic
from permafrost.cli.running import run

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
    sys.exit(run(app, "permafrost-lab", sys.argv[1:]))


if __name__ == "__main__":
    main()
