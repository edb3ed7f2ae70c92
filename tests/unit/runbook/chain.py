"""What tests read in a chain of receipts."""

from __future__ import annotations

from typing import Any

from permafrost.runbook.context import Context


def receipts(ctx: Context) -> list[dict[str, Any]]:
    """Return the receipts of a chain that must hold."""
    count, problems = ctx.store.receipts.verify()
    found = list(ctx.store.receipts.documents())
    assert (problems, len(found)) == ((), count)
    return found


def lines(receipt: dict[str, Any]) -> list[str]:
    """Return the steps that a receipt tells."""
    return [f"{s['step']} {s['kind']} {s['phase']}" for s in receipt["steps"]]


def parts(receipt: dict[str, Any]) -> list[str]:
    """Return what programs did for its operation."""
    return [f"{p['command']} by {p['owner']}: {p['outcome']}" for p in receipt["parts"]]


def require_announced(ctx: Context) -> None:
    """Each receipt, also one that a kill has left, was announced by its operation's journal."""
    for receipt in ctx.store.receipts.documents():
        said = [(e.kind, e.phase.value) for e in ctx.store.journal(receipt["operation"])]
        assert ("receipt", "INTENT") in said
