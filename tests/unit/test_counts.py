"""How long requests that were added waited, from what HAProxy tells before and after them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from permafrost.counts import SAMPLES, Counts, added


class Edge:
    """One server's times as HAProxy keeps them: a sum, and a mean that is told in whole ms."""

    def __init__(self) -> None:
        self.requests = self.total = 0

    def answer(self, *waits_ms: int) -> Counts:
        """Count answers; return what is told afterwards."""
        for wait in waits_ms:
            self.requests += 1
            if self.requests > SAMPLES:
                self.total -= -(-self.total // SAMPLES)
            self.total += wait
        window = min(self.requests, SAMPLES) or 1
        return Counts(self.requests, response_ms=-(-self.total // window))


@given(
    st.integers(0, 3000), st.integers(1, 4000), st.integers(30, 3000), st.integers(1, 4000)
)  # fmt: skip
def test_what_was_long_before_is_not_in_the_mean(
    before: int, before_ms: int, since: int, since_ms: int
) -> None:
    edge = Edge()
    was = edge.answer(*[before_ms] * before)
    found = edge.answer(*[since_ms] * since).since(was)
    assert found is not None
    # Two roundings of a ms each, as much as what was added weighs less; never more than it was.
    weight = min(1.0, since / min(before + since, SAMPLES)) / 2
    assert since_ms - 2.5 / weight - 2 <= found.response_ms <= since_ms + 2


@given(st.integers(0, 2000), st.lists(st.integers(1, 300), min_size=50, max_size=400))
def test_of_times_that_differ_it_is_near_their_mean(before: int, waits: list[int]) -> None:
    edge = Edge()
    was = edge.answer(*[4000] * before)
    found = edge.answer(*waits).since(was)
    assert found is not None
    assert found.response_ms == pytest.approx(sum(waits) / len(waits), abs=120)


def test_what_stood_in_a_canarys_way_on_a_lab() -> None:
    """Answers of four seconds had gone to that slot an hour before: it was called slow."""
    edge = Edge()
    was = edge.answer(*[4000] * 300)
    now = edge.answer(*[160] * 400)
    assert now.response_ms > 1000
    found = now.since(was)
    assert found is not None
    assert found.response_ms == pytest.approx(160, abs=5)


def test_a_slow_one_is_not_hidden_by_many_that_were_quick_before() -> None:
    edge = Edge()
    was = edge.answer(*[100] * 5000)
    now = edge.answer(*[900] * 40)
    assert now.response_ms < 200
    found = now.since(was)
    assert found is not None
    assert 860 <= found.response_ms <= 905


def test_where_nothing_was_added_nobody_waited() -> None:
    was = Edge().answer(*[100] * 10)
    assert was.since(was) == Counts()


def test_an_edge_that_began_anew_says_nothing_of_before() -> None:
    assert Counts(5).since(Counts(6)) is None
    assert Counts(5, response_ms=7).since(Counts()) == Counts(5, response_ms=7)


def test_means_are_weighed_by_their_requests() -> None:
    assert added([Counts(30, response_ms=10), Counts(10, response_ms=50), Counts()]) == Counts(
        40, response_ms=20
    )
