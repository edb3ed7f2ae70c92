"""What a recorded load says of one moment: who began after it, who was under way, who was lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

Record = dict[str, Any]
LOSSLESS = {"failed": 0, "cut": 0, "wrong": 0}
LOST = frozenset(LOSSLESS)
UNREACHED = "Cannot connect"
"""How the recorder's client says that it got no connection, TLS included."""


def seconds(text: str) -> float:
    """Return the seconds since the epoch of a time in a record or a fault."""
    return datetime.fromisoformat(text).timestamp()


def began(record: Record) -> float:
    """Return when a request began."""
    return seconds(record["start"])


def took_s(record: Record) -> float:
    """Return how long a request took, whatever became of it."""
    return seconds(record["end"]) - began(record)


def losses(summary: dict[str, Any]) -> dict[str, int]:
    """Return the outcomes that a client would call a loss, out of a checker's summary."""
    return {name: summary["outcomes"][name] for name in LOSSLESS}


def lost(records: Iterable[Record]) -> list[Record]:
    """Return the requests that were lost."""
    return [r for r in records if r["kind"] != "channel" and r["outcome"] in LOST]


def lost_anew(records: Iterable[Record], from_then_on: float) -> list[Record]:
    """Return the lost requests that were new: begun after a moment, or never connected."""
    return [
        r for r in lost(records) if began(r) >= from_then_on or r["error"].find(UNREACHED) >= 0
    ]


def under_way(records: Iterable[Record], moment: float) -> list[Record]:
    """Return the requests that had begun and not ended at a moment."""
    return [r for r in records if began(r) < moment < seconds(r["end"])]


def gap_s(records: Sequence[Record], moment: float, normal_s: float) -> float:
    """Return for how long after a moment new requests took longer than normal, or were lost."""
    late = [
        began(r) - moment
        for r in records
        if began(r) >= moment and (took_s(r) > normal_s or r["outcome"] in LOST)
    ]
    return max(late, default=0.0)


def counted(records: Iterable[Record]) -> dict[str, int]:
    """Return how many records there are of each outcome."""
    found: dict[str, int] = {}
    for record in records:
        found[record["outcome"]] = found.get(record["outcome"], 0) + 1
    return found
