"""What the bench of the knowledge tier counts, and that a failure is no figure."""

from __future__ import annotations

import threading
import time

import pytest

from tests.bench.knowledge import Once, closed_loop, rows_of
from tests.bench.measure import Figures


def test_every_answer_of_every_client_counts_and_making_one_takes_none_of_the_time() -> None:
    made: list[int] = []
    asked = threading.Semaphore(0)

    def client() -> Once:
        time.sleep(0.05)
        made.append(1)

        def once() -> None:
            asked.release()
            time.sleep(0.002)

        return once

    found = closed_loop(client, 3, 0.3)
    assert len(made) == 3
    count = 0
    while asked.acquire(blocking=False):
        count += 1
    assert found.rate_per_s * 0.3 <= count
    assert found.rate_per_s >= count / 0.6
    assert 2 <= found.p50_ms <= found.p99_ms


def test_a_failure_is_raised_and_ends_the_others() -> None:
    def client() -> Once:
        def once() -> None:
            raise RuntimeError("row 7 was not found")

        return once

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="row 7"):
        closed_loop(client, 2, 60)
    assert time.monotonic() - began < 30


def test_the_ratio_is_of_the_edges_to_the_proxys_own() -> None:
    rows = list(rows_of("search", 8, Figures(100, 4, 10), Figures(95, 5, 12)))
    assert rows[0] == ("search", "8", "requests/s", "100.00", "95.00", "0.95")
    assert [row[-1] for row in rows] == ["0.95", "1.25", "1.20"]
