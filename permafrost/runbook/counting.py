"""What became of clients' requests during an operation, as the edges count them."""

from __future__ import annotations

from typing import Any

from permafrost.counts import Counts, added
from permafrost.facts import Traffic
from permafrost.runbook.context import Context
from permafrost.runbook.looking import counts_just_seen, edges_just_seen

KEPT = "counts-before"
"""One operation a site at a time: what was counted before the one that runs."""


def begin_counting(ctx: Context, operation: str) -> None:
    """Note what the edges have counted before an operation; it outlives a kill.

    What its plan was made from a moment ago is that: they are not asked once more.
    """
    traffic = edges_just_seen(ctx) or ctx.traffic.observe()
    ctx.looked = ctx.counted = None
    ctx.store.remember(KEPT, {"operation": operation, "counts": _counted(traffic)})


def counted_since(ctx: Context, operation: str) -> dict[str, Any]:
    """Return what was added since an operation began, for its receipt.

    An edge that was away, or has begun to count anew, is named: its requests are not counted.
    Edges that the last steps asked are not asked once more.
    """
    kept = ctx.store.recall(KEPT) or {}
    if kept.get("operation") != operation:
        return {"not_counted": ["what was before is not known"]}
    before, now = kept["counts"], _counted(counts_just_seen(ctx) or ctx.traffic.observe())
    total, missed = [], sorted(set(before) ^ set(now))
    for edge in sorted(set(before) & set(now)):
        found = [
            Counts(**counts).since(Counts(**before[edge].get(place, {})))
            for place, counts in now[edge].items()
        ]
        if None in found:
            missed.append(edge)
        total += [c for c in found if c is not None]
    sums = added(total)
    return {
        "completed": max(0, sums.requests - sums.errors - sums.cut),
        "failed": sums.errors,
        "retried": sums.retried,
        "cut": sums.cut,
        "not_counted": missed,
    }


def _counted(traffic: Traffic) -> dict[str, dict[str, dict[str, int]]]:
    """Return counts by edge and by backend and replica."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for backend in traffic.backends:
        for server in backend.servers:
            place = f"{backend.name} {server.replica}"
            found.setdefault(backend.edge, {})[place] = server.counts.as_dict()
    return found
