"""The ``permafrost`` command: its groups, and the one place where errors are shown."""

from __future__ import annotations

import gc
import logging
import sys
from copy import copy
from typing import Annotated

import typer
from typer.main import get_command_name
from typer.models import CommandInfo

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
OBJECTS = 50_000
"""So many new objects before garbage is looked for: what is imported is none, and it is many."""
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
    gc.set_threshold(OBJECTS)
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
    return running.run(app_for(arguments), "permafrost", arguments)


def app_for(arguments: list[str]) -> typer.Typer:
    """Return the app with what the first word names alone, all of it where that is no command.

    To read the options of every command takes as long as to import them.
    """
    word = arguments[0] if arguments else ""
    commands = [c for c in app.registered_commands if _name_of(c) == word]
    groups = [g for g in app.registered_groups if g.name == word]
    if not commands and not groups:
        return app
    one = copy(app)
    one.registered_commands, one.registered_groups = commands, groups
    return one


def _name_of(command: CommandInfo) -> str:
    made = command.callback.__name__ if command.callback else ""
    return command.name or get_command_name(made)
