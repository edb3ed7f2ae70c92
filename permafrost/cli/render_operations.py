"""How operations and their plans are drawn for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from permafrost.cli.screen import console
from permafrost.planning.steps import OperationPlan
from permafrost.planning.stop_verdict import Verdict

STATES = {
    "running": "yellow",
    "paused": "magenta",
    "done": "green",
    "aborted": "cyan",
    "failed": "red",
    "continued": "cyan",
}


def show_operation_plan(plan: OperationPlan) -> None:
    """Draw a plan as numbered steps."""
    out = console()
    if not plan.steps:
        out.print(f"{escape(plan.name)}: nothing to do")
    for step in plan.steps:
        detail = f" {escape(step.detail)}" if step.detail else ""
        out.print(f"{step.id}  {step.kind} {escape(step.target)}{detail}")
    for note in plan.notes:
        out.print(f"    {escape(note)}")
    out.print(f"plan {plan.fingerprint[:19]}…", style="dim")


def show_history(runs: Sequence[dict[str, Any]]) -> None:
    """Draw the latest operations."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("operation", "command", "state", "step", "by", "started"):
        table.add_column(column)
    for run in runs:
        colour = STATES[run["state"]]
        table.add_row(
            run["operation"],
            escape(run["command"]),
            f"[{colour}]{run['state']}[/]",
            run["step"],
            escape(run["owner"]),
            run["started_at"],
        )
    console().print(table)


def show_run(run: dict[str, Any]) -> None:
    """Draw one operation with its journal."""
    out = console()
    colour = STATES[run["state"]]
    direction = ", being taken back" if run["direction"] == "back" else ""
    out.print(
        f"{escape(run['command'])}: [{colour}]{run['state']}[/]{direction}, by {run['owner']}"
    )
    if run["continued_by"]:
        out.print(f"its command was begun again: `permafrost show {run['continued_by']}`")
    elif run["error"]:
        out.print(f"[red]{run['error'].get('code')}[/] {escape(run['error'].get('message', ''))}")
    for entry in run["journal"]:
        out.print(
            f"{entry['at']}  {entry['step']:>8}  {entry['phase']:<8}{entry['kind']} "
            f"{escape(entry['target'])}"
        )
    if run["receipt"]:
        out.print(f"receipt {run['receipt']}")
    if run["plan"] and run["state"] in ("paused", "failed"):
        name = run["operation"]
        if run["direction"] == "back":
            out.print(f"`permafrost abort {name}` goes on taking it back")
            return
        out.print(f"`permafrost resume {name}` goes on, `permafrost abort {name}` takes it back")


def show_verdict(verdict: Verdict) -> None:
    """Draw whether something may be stopped, and why."""
    out = console()
    answer = "[green]may be stopped[/]" if verdict.is_ok else "[red]must not be stopped[/]"
    out.print(f"{verdict.kind.value} {escape(verdict.name)} {answer}")
    out.print(f"stops with it: {', '.join((*verdict.stops, *verdict.others)) or 'nothing'}")
    for left in verdict.endpoints:
        out.print(
            f"{left.name} stays served by {', '.join(left.serves) or 'nobody'} "
            f"(at least {left.min_ready}); {left.in_flight} in flight, {left.places_left} places"
        )
    for problem in verdict.problems:
        out.print(f"[bold red]{problem.code}[/] {escape(problem.path)}: {escape(problem.message)}")
        out.print(f"    {escape(problem.hint)}")
    for note in verdict.notes:
        out.print(f"    {escape(note)}")
