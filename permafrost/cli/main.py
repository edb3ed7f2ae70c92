"""The ``permafrost`` command: its groups, and the one place where errors are shown."""

from __future__ import annotations

import gc
import logging
import sys
from typing import Annotated

import typer

from permafrost import __version__
from permafrost.cli import (
    client,
    deployment,
    maintenance,
    model,
    observation,
    operations,
    rebuild,
    replicas,
    running,
    serving,
    setup,
    upgrade,
)
from permafrost.errors import ExitStatus

app = typer.Typer(
    name="permafrost",
    help="Highly available LLM inference on VMware vSphere: frozen models, standing service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PARTS = (
    setup, deployment, serving, observation, replicas, operations, maintenance, upgrade, rebuild,
)  # fmt: skip
for group in (part.app for part in PARTS):
    app.registered_commands += group.registered_commands
app.add_typer(model.app, name="model")
app.add_typer(client.app, name="client")
app.add_typer(operations.receipt_app, name="receipt")
app.add_typer(maintenance.group, name="maintenance")


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more, to stderr.")] = False,
) -> None:
    """Set up logging."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run, and end with the status that docs/interfaces.md promises."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        typer.echo(__version__)
        sys.exit(ExitStatus.DONE)
    status = run(arguments)
    # What ends with the process is not searched for garbage once more: a fifth of a second.
    gc.freeze()
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit status, with every error shown."""
    return running.run(app, "permafrost", arguments)
