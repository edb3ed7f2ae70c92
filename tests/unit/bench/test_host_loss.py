"""What the recorder's lines say of a lost host."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.bench.host_loss import FIGURES, figures

MOMENT = 1_000_000.0


def record(start: float, took: float, outcome: str = "ok") -> dict[str, Any]:
    times = (datetime.fromtimestamp(MOMENT + at, UTC) for at in (start, start + took))
    begin, end = (t.isoformat() for t in times)
    return {"kind": "whole", "start": begin, "end": end, "outcome": outcome, "error": ""}


def test_new_requests_and_those_under_way_are_told_apart() -> None:
    records = [
        record(-9, 0.2),
        record(-0.1, 5, "cut"),
        record(-0.1, 0.3),
        record(1, 0.2),
        record(4, 20, "failed"),
        record(7, 3),
        record(9, 0.2),
    ]
    told = dict(enumerate(figures(records, MOMENT)))
    assert told == {0: "4", 1: "1", 2: "7.00", 3: "20.00", 4: "2", 5: "1"}
    assert len(told) == len(FIGURES)


def test_a_loss_that_nobody_felt_has_no_gap() -> None:
    told = figures([record(-1, 0.2), record(1, 0.2)], MOMENT)
    assert told == ["1", "0", "0.00", "0.20", "0", "0"]
