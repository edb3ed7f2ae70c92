"""How models are drawn for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from model_registry.ancestry import Relative
from model_registry.catalogue.chain import Event
from model_registry.catalogue.model import MovePlan, Stage, Version
from permafrost.cli.screen import console

COLOURS = {
    Stage.CANDIDATE: "cyan",
    Stage.STAGING: "yellow",
    Stage.PRODUCTION: "green",
    Stage.RETIRED: "dim",
}


def show_versions(versions: Sequence[Version]) -> None:
    """Draw versions as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "version", "stage", "digest", "added", ""):
        table.add_column(column)
    for v in versions:
        marks = [*(["unsafe"] if v.unsafe else []), *([] if v.is_present else ["collected"])]
        stage = f"[{COLOURS[v.stage]}]{v.stage.value}[/]"
        table.add_row(v.name, v.version, stage, short(v.digest), v.added_at, ", ".join(marks))
    console().print(table)


def show_version(found: dict[str, Any]) -> None:
    """Draw one version with its files."""
    out = console()
    out.print(f"[bold]{plain(found['name'])}:{plain(found['version'])}[/] {found['stage']}")
    out.print(f"  {found['digest']}")
    for key, value in found.get("model", {}).items():
        out.print(f"  {plain(key)}: {plain(str(value))}")
    if found["unsafe"]:
        out.print(f"  [red]unsafe[/]: {plain(', '.join(found['unsafe']))}")
    if found["pinned_by"]:
        out.print(f"  pinned by {plain(', '.join(found['pinned_by']))}")
    for file in found.get("files", []):
        out.print(f"  {short(file['digest'])} {file['size']:>14,}  {plain(file['path'])}")


def show_lineage(root: Relative) -> None:
    """Draw the tree of a checkpoint's relatives."""
    tree = Tree(_relative(root))
    _grow(tree, root)
    console().print(tree)


def show_history(events: Sequence[Event]) -> None:
    """Draw what was done to a name, a line each."""
    out = console()
    for event in events:
        why = f": {plain(event.why)}" if event.why else ""
        out.print(f"{event.at}  {plain(event.who)}  {plain(_what(event))}{why}")


def show_moves(plan: MovePlan) -> None:
    """Draw what a promotion, demotion or retirement does."""
    out = console()
    for number, move in enumerate(plan.moves, start=1):
        label = plain(f"{plan.name}:{move.version}")
        out.print(f"{number:02}  {label} {move.origin.value} → {move.to.value}")


def plain(text: str) -> str:
    """Return a text of anybody's as one line that tells a terminal nothing."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return escape(shown)


def short(digest: str) -> str:
    """Return enough of a digest to tell it from others."""
    return f"{digest[:19]}…"


def _grow(tree: Tree, relative: Relative) -> None:
    for other in relative.next:
        _grow(tree.add(_relative(other)), other)


def _relative(relative: Relative) -> str:
    name = ", ".join(relative.labels) or f"{relative.outside} (outside)"
    said = [f"[bold]{plain(name)}[/]", short(relative.digest)]
    if relative.lineage is not None:
        said.append(f"by {relative.lineage.method.value}")
        figures = (f"{k} {v:g}" for k, v in relative.lineage.evidence.items())
        said.append(plain(", ".join(figures)))
        for data in relative.lineage.data_sets:
            colour = {"yes": "green", "no": "red"}.get(data.consent.value, "yellow")
            name = data.name or short(data.digest)
            said.append(f"[{colour}]{plain(name)}: consent {data.consent.value}[/]")
    return "  ".join(part for part in said if part)


def _what(event: Event) -> str:
    body = event.body
    if event.kind == "stage":
        moves = (f"{m['version']} {m['from']} → {m['to']}" for m in body["moves"])
        return f"{body['verb']}: " + ", ".join(moves)
    if event.kind == "collect":
        return "content collected: " + ", ".join(":".join(v) for v in body["versions"])
    digest = body.get("digest", "")
    return " ".join(filter(None, (event.kind, body.get("version", ""), digest and short(digest))))
