"""Of a command line the command that it names is read alone, and every command can be named."""

from __future__ import annotations

import pytest
import typer

from permafrost.cli.main import app, app_for

EVERY = typer.main.get_command(app)


def commands_of(arguments: list[str]) -> set[str]:
    found = typer.main.get_command(app_for(arguments))
    return set(getattr(found, "commands", {}))


@pytest.mark.parametrize("word", sorted(getattr(EVERY, "commands", {})))
def test_a_command_is_found_alone(word: str) -> None:
    assert commands_of([word, "--help"]) == {word}


@pytest.mark.parametrize("line", [[], ["--help"], ["--verbose", "drain"], ["drian"], [""]])
def test_a_line_that_begins_otherwise_knows_all(line: list[str]) -> None:
    assert commands_of(line) == set(getattr(EVERY, "commands", {}))
    assert {"drain", "model", "maintenance"} <= commands_of(line)


def test_the_whole_stays_as_it_was() -> None:
    app_for(["drain"])
    assert len(app.registered_commands) > 1
