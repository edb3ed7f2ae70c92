"""The checker: what a history of requests says, counted without opinion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lab.traffic.marks import Mark
from lab.traffic.phases import WINDOW_S, phases
from lab.traffic.record import Outcome, Record, in_flight_at, rfc3339


def peak_in_flight(records: Sequence[Record]) -> int:
    """Return the largest number of requests that were under way at one moment."""
    moments = [(r.start, 1) for r in records] + [(r.end, -1) for r in records]
    peak = now = 0
    for _, step in sorted(moments):  # an end sorts before a start of the same moment
        now += step
        peak = max(peak, now)
    return peak


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of values, None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def in_ms(seconds: float | None) -> float | None:
    """Return seconds as milliseconds with one decimal."""
    return None if seconds is None else round(seconds * 1000, 1)


def summarise(
    history: Sequence[Record],
    moments: Sequence[float] = (),
    marks: Sequence[Mark] = (),
    window_s: float = WINDOW_S,
) -> dict[str, Any]:
    """Return the counts an operator asks for: outcomes, replicas, checkpoints, in flight, times.

    ``moments`` (seconds since the epoch) are when the requests in flight are counted; for each of
    the ``marks`` new requests, whole ones and streams in flight are counted apart. Duplicate ids
    count as ``duplicated``: an id that was answered twice. Long-open channels are no requests and
    stand by themselves.
    """
    records = [r for r in history if r.is_request]
    channels = Counter(r.outcome for r in history if not r.is_request)
    outcomes = Counter(r.outcome for r in records)
    ids = Counter(r.id for r in records)
    ok = [r for r in records if r.outcome is Outcome.OK]
    losses = [r for r in records if r.outcome not in (Outcome.OK, Outcome.REFUSED)]
    return {
        "schema": 1,
        "requests": len(records),
        "outcomes": {o.value: outcomes[o] for o in Outcome},
        "duplicated": sum(1 for n in ids.values() if n > 1),
        "kinds": dict(sorted(Counter(r.kind.value for r in records).items())),
        "replicas": dict(sorted(Counter(r.replica for r in ok).items())),
        "checkpoints": dict(sorted(Counter(r.checkpoint for r in ok).items())),
        "peak_in_flight": peak_in_flight(records),
        "in_flight_at": {str(rfc3339(m)): in_flight_at(records, m) for m in moments},
        "ttft_ms": {
            name: in_ms(percentile([r.first_token - r.start for r in ok if r.first_token], share))
            for name, share in (("p50", 0.5), ("p99", 0.99))
        },
        "total_ms": {
            name: in_ms(percentile([r.end - r.start for r in ok], share))
            for name, share in (("p50", 0.5), ("p99", 0.99))
        },
        "between_tokens_ms": _quantiles(_gaps_ms(ok)),
        "late_ms": _quantiles([r.late_ms for r in records if not r.conversation]),
        "conversations": _conversations(records),
        "channels": {o.value: channels[o] for o in Outcome},
        "marks": phases(history, marks, window_s),
        "first_losses": [
            {
                "id": r.id,
                "outcome": r.outcome.value,
                "at": rfc3339(r.end),
                "status": r.status,
                "replica": r.replica,
                "error": r.error,
            }
            for r in sorted(losses, key=lambda r: r.end)[:5]
        ],
    }


def _gaps_ms(records: Sequence[Record]) -> list[float]:
    return [b - a for r in records if r.is_streamed for a, b in pairwise(r.token_ms)]


def _quantiles(values: Sequence[float]) -> dict[str, float | None]:
    found = {name: percentile(values, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {k: None if v is None else round(v, 1) for k, v in found.items()}


def _conversations(records: Sequence[Record]) -> dict[str, int]:
    turns: dict[str, list[Record]] = {}
    for record in records:
        if record.conversation:
            turns.setdefault(record.conversation, []).append(record)
    lost = sum(1 for held in turns.values() if any(r.outcome is not Outcome.OK for r in held))
    replicas = [len({r.replica for r in held}) for held in turns.values()]
    return {
        "held": len(turns),
        "turns": sum(len(held) for held in turns.values()),
        "with_a_lost_turn": lost,
        "on_more_than_one_replica": sum(1 for n in replicas if n > 1),
    }


def has_losses(summary: dict[str, Any]) -> bool:
    """Return whether anything failed, was cut, was wrong or was answered twice."""
    outcomes = summary["outcomes"]
    return bool(
        outcomes["failed"]
        or outcomes["cut"]
        or outcomes["wrong"]
        or summary["duplicated"]
        or summary["channels"]["failed"]
        or summary["channels"]["cut"]
    )
