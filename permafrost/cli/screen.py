"""The terminal of a person, and what every command shows there: a line of text, an error.

Apart from what draws plans and states: an error is shown without what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from permafrost.errors import Problem


def console(*, stderr: bool = False) -> Console:
    """Return a console; wide enough not to break names when nobody watches."""
    found = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not found.is_terminal:
        found = Console(stderr=stderr, highlight=False, width=160)
    return found


def line(text: str) -> None:
    """Print one line of text as it is."""
    console().print(escape(text))


def show_problems(problems: Iterable[Problem]) -> None:
    """Show errors on standard error."""
    out = console(stderr=True)
    for problem in problems:
        place = f"{escape(problem.path)}: " if problem.path else ""
        out.print(f"[bold red]{problem.code}[/] {place}{escape(problem.message)}")
        if problem.hint:
            out.print(f"    {escape(problem.hint)}")
