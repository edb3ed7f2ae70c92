"""Every command has a page in docs/runbook and every page a command; the options named exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from lab.cli.main import app as lab_app
from lab.front.instance import CHECKOUT
from permafrost.cli.main import app

PAGES = CHECKOUT / "docs" / "runbook"
SAID_ONCE = {"--site", "--output", "--yes", "--plan-only", "--home"}
"""What README.md and model.md say of all commands."""
OTHERS = ("pulumi", "model_signing")
"""Programs whose options may be named."""
ELSEWHERE = "\n# On the node\n"
"""What follows tells of the node's own program."""


def commands() -> dict[str, set[str]]:
    """Return every command, without its program's name, and its options."""
    groups = {"": typer.main.get_command(app), "lab": typer.main.get_command(lab_app)}
    return {name: options for start, c in groups.items() for name, options in walk(c, start)}


def walk(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    for word, below in getattr(command, "commands", {}).items():
        yield from walk(below, f"{name} {word}".strip())
    if not hasattr(command, "commands"):
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        yield name, {o for o in options if o.startswith("--")}


def index() -> dict[str, str]:
    """Return the names that README.md gives, and the page of each."""
    found = re.findall(r"\[([^\]]+)\]\(([a-z-]+\.md)\)", (PAGES / "README.md").read_text("utf-8"))
    return {name.strip(): page for names, page in found for name in names.split(",")}


COMMANDS, INDEX = commands(), index()


def page_of(command: str) -> str:
    """Return the page of a command or of its group; empty where it has none."""
    words = command.split()
    names = (" ".join(words[:n]) for n in range(len(words), 0, -1))
    return next((INDEX[name] for name in names if name in INDEX), "")


def text(page: str) -> str:
    return (PAGES / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_that_names_it_and_its_options(command: str) -> None:
    page = page_of(command)
    assert page, f"docs/runbook/README.md has no page for {command}"
    assert re.search(rf"\b{command.split()[-1]}\b", text(page)), f"{page} does not name it"
    told = {o for o in COMMANDS[command] - SAID_ONCE if not o.startswith("--no-")}
    missing = sorted(o for o in told if not re.search(rf"{o}\b(?!-)", text(page)))
    assert not missing, f"{page} says nothing of {', '.join(missing)}"


def test_every_page_is_of_a_command() -> None:
    pages = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    assert pages == set(INDEX.values())
    assert pages == {page_of(command) for command in COMMANDS}
    assert [n for n in INDEX if not any(f"{c} ".startswith(f"{n} ") for c in COMMANDS)] == []


def typed(page: str) -> list[str]:
    """Return what a page lets one type: code in its sentences, and lines of a console."""
    told = text(page).partition(ELSEWHERE)[0]
    return [
        *re.findall(r"`([^`\n]+)`", told),
        *re.findall(r"^\s*\$ ([^#\n]+)", told, re.MULTILINE),
    ]


def options_known(span: str, page: str) -> set[str]:
    """Return the options of the command that is typed; of any of the page where none is named."""
    own = [c for c in COMMANDS if page_of(c) == page]
    whole = span.replace("permafrost-lab", "permafrost lab", 1)
    named = [c for c in own if whole.split()[0] == c.split()[-1]] or [
        c for c in COMMANDS if f"{whole} ".startswith((f"permafrost {c} ", f"{c} "))
    ]
    return set().union(*(COMMANDS[c] for c in named or own))


@pytest.mark.parametrize("page", sorted(set(INDEX.values())))
def test_every_option_that_a_page_names_exists(page: str) -> None:
    for span in typed(page):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", span))
        if named and span.split()[0] not in OTHERS:
            strange = sorted(named - options_known(span, page))
            assert not strange, f"`{span}`: no option {', '.join(strange)}"


def test_an_option_that_a_command_does_not_have_is_seen() -> None:
    assert "--cut" in options_known("permafrost drain lab-chat-01 --cut", "upgrade.md")
    assert "--cut" not in options_known("permafrost undrain lab-chat-01 --cut", "drain.md")
    assert "--why" in options_known("retire REF --why TEXT", "model.md")
    assert "--why" not in options_known("permafrost retire chat --why TEXT", "model.md")
