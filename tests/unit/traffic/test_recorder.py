"""Schedules, lines and counts of the recorder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.traffic.check import has_losses, peak_in_flight, summarise
from lab.traffic.record import Kind, Outcome, Record, from_line, in_flight_at, read, to_line
from lab.traffic.recorder import Load, departures
from lab.traffic.workload import FingerprintWorkload, PulseWorkload, pulse_tokens


def make(
    n: int, start: float, end: float, outcome: Outcome = Outcome.OK, kind: Kind = Kind.WHOLE
) -> Record:
    return Record(
        f"r-{n}", kind, start, end, end, 200, "lab-pulse-01", "sha256:x", (1, 2), (1, 2), outcome
    )


def test_departures_are_evenly_spread_and_hold_the_asked_mix() -> None:
    plan = list(departures(Load(10, 3, 0.3, "x")))
    assert [n for n, _, _ in plan] == list(range(30))
    assert [after for _, after, _ in plan][:3] == pytest.approx([0, 0.1, 0.2])
    kinds = [kind for _, _, kind in plan]
    assert kinds.count(Kind.STREAM) == 9
    assert kinds[:10].count(Kind.STREAM) == kinds[10:20].count(Kind.STREAM) == 3


@given(st.floats(0, 1), st.integers(1, 200))
def test_no_prefix_of_the_schedule_strays_from_the_mix(share: float, count: int) -> None:
    kinds = [kind for _, _, kind in departures(Load(count, 1, share, "x"))]
    for n in range(1, count + 1):
        assert abs(kinds[:n].count(Kind.STREAM) - n * share) <= 1


def test_a_line_is_read_back_as_it_was_written() -> None:
    record = make(1, 1_700_000_000.25, 1_700_000_001.5, Outcome.CUT, Kind.STREAM)
    assert from_line(to_line(record)) == record


def test_times_are_written_as_utc() -> None:
    assert '"start":"2023-11-14T22:13:20.250000+00:00"' in to_line(make(1, 1_700_000_000.25, 1.0))


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(to_line(make(1, 1, 2)) + "\n" + to_line(make(2, 1, 2))[:40])
    assert [r.id for r in read(file)] == ["r-1"]


def test_a_broken_line_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(to_line(make(1, 1, 2)) + "\n{}\n")
    with pytest.raises(ValueError, match=r"history\.jsonl:2: not a record"):
        list(read(file))


def test_peak_counts_a_request_that_ends_as_another_begins_once() -> None:
    assert peak_in_flight([make(1, 0, 1), make(2, 1, 2)]) == 1
    assert peak_in_flight([make(1, 0, 3), make(2, 1, 2), make(3, 1.5, 4)]) == 3


def test_in_flight_at_a_moment() -> None:
    records = [make(1, 0, 3), make(2, 1, 2)]
    assert [in_flight_at(records, t) for t in (0.5, 1.5, 2.5, 3.5)] == [1, 2, 1, 0]


def test_summary_counts_outcomes_and_doubles() -> None:
    records = [make(1, 0, 1), make(1, 0, 1), make(2, 0, 1, Outcome.CUT)]
    summary = summarise(records)
    assert summary["outcomes"] == {"ok": 2, "failed": 0, "cut": 1, "wrong": 0, "refused": 0}
    assert summary["duplicated"] == 1
    assert has_losses(summary)
    assert summary["first_losses"][0]["id"] == "r-2"


def test_refusals_are_no_losses() -> None:
    assert not has_losses(summarise([make(1, 0, 1), make(2, 0, 1, Outcome.REFUSED)]))


def test_pulse_tokens_follow_the_published_rule() -> None:
    # Worked out with openssl: key = sha256("w"), hmac over "p", a zero byte, eight counter bytes.
    assert pulse_tokens(b"w", "p", 2) == (14473, 39866)
    assert pulse_tokens(b"w", "p", 3) != pulse_tokens(b"v", "p", 3)
    assert pulse_tokens(b"w", "p", 3) != pulse_tokens(b"w", "q", 3)


def test_pulse_asks_are_the_same_whenever_asked_for() -> None:
    work = PulseWorkload(b"weights", max_tokens=4, seed=7)
    assert work.ask(3) == work.ask(3)
    assert work.ask(3).body != work.ask(4).body
    assert len(work.ask(3).expected) == 4


def test_fingerprint_asks_go_round() -> None:
    probes = [
        {"text_input": t, "sampling_parameters": {"max_tokens": 2}, "token_ids": [i]}
        for i, t in enumerate("ab")
    ]
    work = FingerprintWorkload(probes)
    assert [work.ask(n).expected for n in range(3)] == [(0,), (1,), (0,)]


def test_an_answer_is_held_to_the_checkpoint_that_it_names() -> None:
    old, new = b"old" * 100, b"new" * 100
    ask = PulseWorkload(old, max_tokens=4, others={"sha256:new": new}).ask(7)
    prompt = str(ask.body["text_input"])
    assert ask.judged_by("sha256:old", "sha256:old") == (
        "sha256:old",
        pulse_tokens(old, prompt, 4),
    )
    assert ask.judged_by("sha256:new", "sha256:old") == (
        "sha256:new",
        pulse_tokens(new, prompt, 4),
    )
    assert ask.judged_by("sha256:third", "sha256:old")[0] == "sha256:old", "and so it is wrong"
