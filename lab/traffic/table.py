"""The checker's summary for a person: the counts, and a table of the marks."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 130
GROUPS = ("new", "whole_in_flight", "streams_in_flight", "channels_open")


def show(summary: dict[str, Any], console: Console | None = None) -> None:
    """Print a summary: a line a figure, then a line a fault or step."""
    console = console or Console(highlight=False, markup=False, width=WIDTH)
    for key, value in summary.items():
        if key != "marks":
            console.print(f"{key}: {value}", soft_wrap=True)
    if summary["marks"]:
        console.print(marks_table(summary["marks"]))


def marks_table(marks: list[dict[str, Any]]) -> Table:
    """Return the table of what each fault or step did to whom."""
    table = Table(title="requests at each fault and step: ok / lost / refused")
    for heading in ("at", "what", *GROUPS):
        table.add_column(heading.replace("_", " "), justify="left")
    for mark in marks:
        table.add_row(
            mark["at"][11:23],
            f"{mark['sort']} {mark['name']}",
            *(_cell(mark[group]) for group in GROUPS),
        )
    return table


def _cell(counts: dict[str, int]) -> str:
    lost = counts["failed"] + counts["cut"] + counts["wrong"]
    return f"{counts['ok']} / {lost} / {counts['refused']}" if counts["requests"] else "-"
