"""`permafrost-lab check --strict`: what ends it with 4."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cli.main import app
from lab.traffic.record import Kind, Outcome, Record, to_line
from permafrost.cli.running import run

NO_LAB = "permafrost-no-such-lab.yaml"


def answer(n: int, outcome: Outcome = Outcome.OK, kind: Kind = Kind.WHOLE) -> Record:
    return Record(
        f"r-{n}", kind, n, n + 1, n + 1, 200, "lab-pulse-01", "sha256:x", (), (), outcome
    )


@pytest.mark.parametrize(
    ("records", "exit_status"),
    [
        ([answer(1), answer(2)], 0),
        ([answer(1), answer(2, Outcome.CUT)], 4),
        ([answer(1), answer(2, Outcome.REFUSED)], 4),
        ([answer(1), answer(2, Outcome.CUT, Kind.CHANNEL)], 4),
        ([answer(1), answer(1)], 4),
    ],
    ids=["all well", "cut", "refused", "a channel is cut", "answered twice"],
)
def test_strict(tmp_path: Path, records: list[Record], exit_status: int) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("".join(f"{to_line(r)}\n" for r in records), encoding="utf-8")
    site = str(tmp_path / NO_LAB)
    assert run(app, "permafrost-lab", ["check", str(file), "--strict", "--site", site]) == (
        exit_status
    )
    assert run(app, "permafrost-lab", ["check", str(file), "--site", site]) == 0
