"""What an operation leaves behind for people and auditors: one JSON file each, chained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from permafrost import __version__
from permafrost.engine.timestamps import now_text
from permafrost.planning.lifecycle import is_automatic
from permafrost.runbook.context import Context


def write_receipt(ctx: Context, about: dict[str, Any]) -> Path:
    """Write a receipt whole; it says where it was had (lab or hardware) and by which release."""
    receipt = {
        "schema": 1,
        "site": ctx.site.site,
        "environment": ctx.site.environment,
        "permafrost": __version__,
        "finished_at": now_text(),
        **about,
    }
    return ctx.store.receipts.append(str(about["command"]), receipt)


def steps_of(ctx: Context, operation: str) -> list[dict[str, Any]]:
    """Return an operation's journal, as receipts tell it."""
    return [
        {
            "step": e.step,
            "kind": e.kind,
            "target": e.target,
            "phase": e.phase.value,
            "at": e.at,
            "evidence": e.detail,
        }
        for e in ctx.store.journal(operation)
    ]


def parts_of(ctx: Context, operation: str) -> list[dict[str, Any]]:
    """Return what programs have done for an operation that holds the site: drains, convergences.

    They write no receipts of their own. What began after it is its part: nobody else may begin.
    """
    return [
        {
            "operation": part.id,
            "command": part.command,
            "owner": part.owner,
            "started_at": part.started_at,
            "finished_at": part.finished_at,
            "outcome": part.outcome,
            "steps": steps_of(ctx, part.id),
        }
        for part in ctx.store.begun_since(operation)
        if is_automatic(part.owner)
    ]
