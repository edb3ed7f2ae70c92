"""The judge of the knowledge tier's losses finds what it is to find: its negative control."""

from __future__ import annotations

from tests.knowledge.history import Asked, judge, lost


def search(at: float, outcome: str = "ok") -> Asked:
    return Asked("search", int(at), at, at + 0.1, outcome)


def test_a_steady_stream_has_no_outage() -> None:
    verdict = judge([search(t / 2) for t in range(40)], 0, 20)
    assert (verdict.ok, verdict.wrong, verdict.failed) == (40, 0, 0)
    assert verdict.outage_s < 0.7


def test_time_without_a_right_answer_is_an_outage_whether_it_failed_hung_or_was_wrong() -> None:
    for outcome in ("failed", "wrong"):
        entries = [search(t, outcome if 5 <= t < 9 else "ok") for t in range(20)]
        verdict = judge(entries, 0, 20)
        assert 4.5 < verdict.outage_s < 5.5
        assert getattr(verdict, outcome) == 4
    hung = [search(t) for t in range(20) if not 5 <= t < 9]
    assert judge(hung, 0, 20).outage_s > 4.5


def test_nothing_answered_until_the_end_is_an_outage() -> None:
    assert judge([search(t) for t in range(5)], 0, 20).outage_s > 15


def test_an_acknowledged_insert_that_is_not_there_is_lost() -> None:
    entries = [Asked("insert", n, n, n + 0.1, "ok") for n in range(10)]
    entries.append(Asked("insert", 99, 10, 10.1, "failed"))
    assert lost(entries, range(10)) == []
    assert lost(entries, [n for n in range(10) if n != 7]) == [7]
    assert lost(entries, []) == list(range(10))
