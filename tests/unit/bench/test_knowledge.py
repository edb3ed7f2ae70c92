"""What the bench of the knowledge tier counts, and that a failure is no figure."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest

from tests.bench.knowledge import (
    INSERTED,
    closed_loop,
    in_a_ring,
    inserting,
    rows_of,
    searching,
)
from tests.bench.measure import Figures
from tests.knowledge.vectors import vectors


def test_every_answer_of_every_client_counts() -> None:
    asked = threading.Semaphore(0)

    def once() -> None:
        asked.release()
        time.sleep(0.002)

    found = closed_loop([once, once, once], 0.3)
    count = 0
    while asked.acquire(blocking=False):
        count += 1
    assert found.rate_per_s * 0.3 <= count
    assert found.rate_per_s >= count / 0.6
    assert 2 <= found.p50_ms <= found.p99_ms


def fails() -> None:
    raise RuntimeError("row 7 was not found")


def test_a_failure_is_raised_and_ends_the_others() -> None:
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="row 7"):
        closed_loop([fails, lambda: time.sleep(0.01)], 60)
    assert time.monotonic() - began < 30


class Client:
    """Stands for pymilvus': finds what it was asked for, or another row."""

    def __init__(self, known: np.ndarray, off_by: int = 0) -> None:
        self.known, self.off_by = known, off_by
        self.inserted: list[dict[str, Any]] = []

    def search(self, _: str, data: list[list[float]], **more: object) -> list[list[Any]]:
        nearest = np.argmax(np.asarray(data, np.float32) @ self.known.T, axis=1)
        # All but the last one right: each of several is looked at.
        return [[{"id": int(i)}] for i in nearest[:-1]] + [
            [{"id": int(nearest[-1]) + self.off_by}]
        ]

    def insert(self, _: str, rows: list[dict[str, Any]], **more: object) -> None:
        self.inserted += rows


def test_a_search_that_finds_another_row_is_no_figure() -> None:
    known = vectors(500)
    right, wrong = searching(Client(known), known), searching(Client(known, 1), known)
    for _ in range(7):
        right()
    with pytest.raises(RuntimeError, match="row 0"):
        wrong()


def test_each_of_several_vectors_is_to_be_found() -> None:
    known = vectors(500)
    searching(Client(known), known, 3)()
    with pytest.raises(RuntimeError, match="row 194"):
        searching(Client(known, 1), known, 3)()


def test_without_edges_a_client_takes_one_proxy_after_the_other() -> None:
    asked: list[str] = []
    once = in_a_ring([lambda: asked.append("one"), lambda: asked.append("two")])
    for _ in range(5):
        once()
    assert asked == ["one", "two", "one", "two", "one"]


def test_rows_that_are_inserted_have_keys_of_their_own_and_are_no_known_ones() -> None:
    known, keys, clients = vectors(500), itertools.count(1000), [Client(vectors(500))] * 2
    for client in clients:
        inserting(client, known, keys)()
    rows = [row for client in clients[:1] for row in client.inserted]
    assert len({row["id"] for row in rows}) == len(rows) == 2 * INSERTED
    nearest = np.asarray([row["v"] for row in rows], np.float32) @ known.T
    assert nearest.max() < 0.99


def test_the_ratio_is_of_the_edges_to_the_proxys_own() -> None:
    rows = list(rows_of("search", 8, Figures(100, 4, 10), Figures(95, 5, 12)))
    assert rows[0] == ("search", "8", "requests/s", "100.00", "95.00", "0.95")
    assert [row[-1] for row in rows] == ["0.95", "1.25", "1.20"]
