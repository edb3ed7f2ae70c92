"""What each fault or step did to whom: new requests, whole ones and streams under way, apart.

A request that begins after a node was lost may be sent to another; one under way on it cannot.
Counting them together hides which of the two was lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from lab.traffic.marks import Mark
from lab.traffic.record import Kind, Outcome, Record, rfc3339

WINDOW_S = 10.0


def phases(
    records: Sequence[Record], marks: Sequence[Mark], window_s: float = WINDOW_S
) -> list[dict[str, Any]]:
    """Return for each mark the outcomes of four groups that have no request in common.

    ``new``: begun at the mark or after it, before the next mark and within the window.
    ``whole_in_flight``, ``streams_in_flight``: begun before it and not ended, by how they are
    answered. ``channels_open``: long-open gRPC streams at that moment, idle or not.
    """
    found = []
    for place, mark in enumerate(marks):
        later = [m.at for m in marks[place + 1 :] if m.at > mark.at]
        until = min([mark.at + window_s, *later[:1]])
        under_way = [r for r in records if r.start < mark.at < r.end]
        found.append(
            {
                "at": rfc3339(mark.at),
                "sort": mark.sort.value,
                "name": mark.name,
                "window_s": round(until - mark.at, 3),
                "new": _outcomes(
                    r for r in records if r.is_request and mark.at <= r.start < until
                ),
                "whole_in_flight": _outcomes(r for r in under_way if r.kind is Kind.WHOLE),
                "streams_in_flight": _outcomes(r for r in under_way if r.is_streamed),
                "channels_open": _outcomes(r for r in under_way if r.kind is Kind.CHANNEL),
            }
        )
    return found


def _outcomes(records: Iterable[Record]) -> dict[str, int]:
    counted = Counter(r.outcome for r in records)
    return {"requests": counted.total(), **{o.value: counted[o] for o in Outcome}}
