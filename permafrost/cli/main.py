"""The ``permafrost`` command: its groups, and the one place where errors are shown."""

from __future__ import annotations

import json
import logging
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from permafrost import __version__
from permafrost.cli import (
    client,
    deployment,
    maintenance,
    model,
    observation,
    operations,
    replicas,
    serving,
    setup,
)
from permafrost.cli.render import show_problems
from permafrost.errors import ExitStatus, PermafrostError, Problem

app = typer.Typer(
    name="permafrost",
    help="Highly available LLM inference on VMware vSphere: frozen models, standing service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PARTS = (setup, deployment, serving, observation, replicas, operations, maintenance)
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
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit status, with every error shown."""
    as_json = _wants_json(arguments)
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="permafrost", standalone_mode=False)
    except PermafrostError as error:
        _report(error.problems, as_json)
        return int(error.exit_status)
    except TyperException as error:
        describe = getattr(error, "format_message", None)
        message = describe() if describe else str(error)
        hint = "`permafrost --help` lists the commands"
        _report((Problem("USAGE", message or "see --help", hint=hint),), as_json)
        return int(ExitStatus.USAGE)
    except typer.Abort:
        _report((Problem("ABORTED", "stopped by the operator"),), as_json)
        return int(ExitStatus.FAILED)
    return result if isinstance(result, int) else int(ExitStatus.DONE)


def _wants_json(arguments: list[str]) -> bool:
    """Whether errors are to be JSON; known even when the command line cannot be parsed."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return "--output=json" in arguments or ("--output", "json") in pairs


def _report(problems: tuple[Problem, ...], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([p.as_dict() for p in problems], indent=2), err=True)
    else:
        show_problems(problems)
