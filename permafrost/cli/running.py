"""Run one command line: every error in one form, every exit status as promised."""

from __future__ import annotations

import json

import typer
from typer.exceptions import TyperException

from permafrost.errors import ExitStatus, PermafrostError, Problem


def run(app: typer.Typer, program: str, arguments: list[str]) -> int:
    """Run one command line; return its exit status (docs/interfaces.md), errors shown."""
    as_json = wants_json(arguments)
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name=program, standalone_mode=False)
    except PermafrostError as error:
        report(error.problems, as_json=as_json)
        return int(error.exit_status)
    except TyperException as error:
        describe = getattr(error, "format_message", None)
        message = describe() if describe else str(error)
        hint = f"`{program} --help` lists the commands"
        report((Problem("USAGE", message or "see --help", hint=hint),), as_json=as_json)
        return int(ExitStatus.USAGE)
    except typer.Abort:
        hint = "run it again, or what finishes it: nothing that was begun is forgotten"
        report((Problem("ABORTED", "stopped by the operator", hint=hint),), as_json=as_json)
        return int(ExitStatus.FAILED)
    except BrokenPipeError:  # who read the output has seen enough
        return int(ExitStatus.FAILED)
    except OSError as error:  # no adapter expected it: a disk that is full, a file that is gone
        path = str(error.filename or "")
        message = error.strerror or str(error)
        hint = "has the disk room, and may this user read and write there? then run it again"
        report((Problem("SYSTEM", message, path, hint),), as_json=as_json)
        return int(ExitStatus.FAILED)
    return result if isinstance(result, int) else int(ExitStatus.DONE)


def wants_json(arguments: list[str]) -> bool:
    """Whether errors are to be JSON; known even when the command line cannot be parsed."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return "--output=json" in arguments or ("--output", "json") in pairs


def report(problems: tuple[Problem, ...], *, as_json: bool) -> None:
    """Show errors on standard error, for a person or for a program."""
    if as_json:
        typer.echo(json.dumps([p.as_dict() for p in problems], indent=2), err=True)
        return
    from permafrost.cli.screen import show_problems

    show_problems(problems)
