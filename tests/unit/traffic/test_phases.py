"""Faults and steps on the time line of a history, and who was under way when they came."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import LabError
from lab.faults.record import FaultRecord
from lab.traffic.check import has_losses, summarise
from lab.traffic.marks import Mark, Sort, of_faults, of_journal, within
from lab.traffic.phases import phases
from lab.traffic.picture import by_second, draw
from lab.traffic.record import Kind, Outcome, Record, from_line, to_line

GROUPS = ("new", "whole_in_flight", "streams_in_flight", "channels_open")


def make(
    start: float, end: float, kind: Kind = Kind.WHOLE, outcome: Outcome = Outcome.OK
) -> Record:
    return Record(
        f"r-{start}-{kind}",
        kind,
        start,
        end,
        end,
        200,
        "lab-pulse-01",
        "sha256:x",
        (1,),
        (1,),
        outcome,
    )


def test_groups_are_apart_at_each_mark() -> None:
    records = [
        make(0, 5, Kind.WHOLE, Outcome.FAILED),
        make(1, 20, Kind.STREAM, Outcome.CUT),
        make(1, 30, Kind.GRPC),
        make(0, 40, Kind.CHANNEL, Outcome.CUT),
        make(0, 2),
        make(4, 6),
        make(8, 9, Kind.STREAM),
        make(12, 13),
    ]
    first, second = phases(records, [Mark(3, Sort.FAULT, "a"), Mark(8.5, Sort.HEAL, "a")], 10)
    assert first["window_s"] == 5.5, "until the next mark"
    assert {g: first[g]["requests"] for g in GROUPS} == {
        "new": 2, "whole_in_flight": 1, "streams_in_flight": 2, "channels_open": 1
    }  # fmt: skip
    assert first["whole_in_flight"]["failed"] == 1
    assert first["streams_in_flight"] | {"ok": 1, "cut": 1} == first["streams_in_flight"]
    assert first["channels_open"]["cut"] == 1
    assert second["new"]["requests"] == 1
    assert second["streams_in_flight"]["requests"] == 3


times = st.floats(0, 100, allow_nan=False)
history = st.lists(
    st.builds(
        lambda start, length, kind, outcome: make(start, start + length, kind, outcome),
        times, st.floats(0, 50), st.sampled_from(Kind), st.sampled_from(Outcome),
    )
)  # fmt: skip


@given(history, st.lists(times, max_size=5))
def test_no_request_is_counted_twice_at_a_mark(
    records: list[Record], moments: list[float]
) -> None:
    marks = [Mark(at, Sort.NOTE, "x") for at in sorted(moments)]
    for mark, found in zip(marks, phases(records, marks), strict=True):
        under_way = [r for r in records if r.start < mark.at < r.end]
        groups = [found[g]["requests"] for g in GROUPS[1:]]
        assert sum(groups) == len(under_way)
        began = sum(r.is_request and r.start >= mark.at for r in records)
        assert found["new"]["requests"] <= began


def test_channels_are_no_requests_but_one_that_is_closed_is_a_loss() -> None:
    records = [make(0, 1), make(0, 9, Kind.CHANNEL, Outcome.CUT)]
    summary = summarise(records)
    assert summary["requests"] == 1
    assert summary["outcomes"]["cut"] == 0
    assert summary["channels"]["cut"] == 1
    assert has_losses(summary)


def test_gaps_between_tokens_and_conversations_are_counted() -> None:
    stream = replace(make(0, 1, Kind.STREAM), token_ms=(10.0, 30.0, 90.0))
    turns = [
        replace(make(n, n + 1), conversation="c", turn=n, replica=f"lab-pulse-0{n}")
        for n in (1, 2)
    ]
    lost = replace(make(5, 6, outcome=Outcome.CUT), conversation="d", turn=1)
    summary = summarise([stream, *turns, lost])
    assert summary["between_tokens_ms"] == {"p50": 60.0, "p99": 60.0}
    assert summary["conversations"] == {
        "held": 2, "turns": 3, "with_a_lost_turn": 1, "on_more_than_one_replica": 1
    }  # fmt: skip


def test_a_line_of_an_older_recorder_is_read() -> None:
    record = make(1, 2)
    old = {
        k: v
        for k, v in json.loads(to_line(record)).items()
        if k not in ("token_ms", "late_ms", "conversation", "turn", "channel")
    }
    assert from_line(json.dumps(old)) == record


def test_marks_come_from_the_record_of_faults_and_the_journal(tmp_path: Path) -> None:
    record = FaultRecord(tmp_path / "faults.jsonl")
    fault = record.begin("host-lost", "lab-esx-01", {}, {})
    record.note("applied", fault.id)
    record.remark("the upgrade begins")
    record.note("healed", fault.id)
    database = tmp_path / "permafrost.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE journal (seq INTEGER, at, kind, target, phase)")
    rows = [(1, "2026-11-25T10:00:00Z", "drain", "lab-chat-01", "INTENT"),
            (2, "2026-11-25T10:00:05Z", "drain", "lab-chat-01", "DONE")]  # fmt: skip
    connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    found = list(of_faults(record.path))
    assert [(m.sort, m.name) for m in found] == [
        (Sort.FAULT, "host-lost lab-esx-01"),
        (Sort.NOTE, "the upgrade begins"),
        (Sort.HEAL, "host-lost lab-esx-01"),
    ]
    (step,) = of_journal(database)
    assert (step.sort, step.name) == (Sort.STEP, "drain lab-chat-01")
    assert list(of_journal(tmp_path / "none.db")) == []
    assert within(iter([*found, step]), step.at, step.at) == [step]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_is_drawn(tmp_path: Path, suffix: str) -> None:
    records = [make(n / 10, n / 10 + 0.2, outcome=list(Outcome)[n % 5]) for n in range(50)]
    file = tmp_path / f"picture{suffix}"
    draw(records, [Mark(2.0, Sort.FAULT, "host-lost lab-esx-01")], file)
    raw = file.read_bytes()
    assert (
        raw.startswith(b"\x89PNG") if suffix == ".png" else b"host-lost" in raw or b"<svg" in raw
    )
    assert sum(len(found) for found in by_second(records, 0.0).values()) == 50


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="PICTURE_FORMAT"):
        draw([make(0, 1)], [], tmp_path / "picture.gif")
    with pytest.raises(LabError, match="HISTORY_EMPTY"):
        draw([], [], tmp_path / "picture.png")
