"""Clients of the tier, as an application has them: stock pymilvus through the edges."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient

from tests.knowledge.history import Asked, History

COLLECTION = "docs"
TIMEOUT_S = 15.0
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Door:
    """Where clients go, and what they trust."""

    address: str
    ca: Path

    def client(self, user: str, password: str, **more: Any) -> MilvusClient:
        """Return a client; ``more`` overrides anything."""
        options = {
            "uri": f"https://{self.address}",
            "user": user,
            "password": password,
            "server_pem_path": str(self.ca),
            "timeout": TIMEOUT_S,
        }
        return MilvusClient(**{**options, **more})


@contextmanager
def load_on(
    door: Door, users: dict[str, str], vectors: np.ndarray, first_key: int
) -> Iterator[History]:
    """Search and insert for a block, each request with a known answer; give their history."""
    history, stop = History(), threading.Event()
    generator = np.random.default_rng(11)
    keys = iter(range(first_key, first_key + 1_000_000))

    def search(client: MilvusClient) -> tuple[int, str, str]:
        row = int(generator.integers(0, len(vectors)))
        (hits,) = client.search(
            COLLECTION,
            data=[vectors[row].tolist()],
            limit=3,
            search_params={"metric_type": "COSINE", "params": {"nprobe": 16}},
            timeout=TIMEOUT_S,
        )
        found = [int(h["id"]) for h in hits]
        return row, "ok" if found[:1] == [row] else "wrong", str(found)

    def insert(client: MilvusClient) -> tuple[int, str, str]:
        key = next(keys)
        vector = vectors[key % len(vectors)] + 0.5
        client.insert(COLLECTION, [{"id": key, "v": vector.tolist()}], timeout=TIMEOUT_S)
        return key, "ok", ""

    def loop(kind: str, user: str, once: Callable[[MilvusClient], Any], pause_s: float) -> None:
        client: MilvusClient | None = None
        while not stop.is_set():
            began = history.now()
            try:
                client = client or door.client(user, users[user])
                key, outcome, said = once(client)
            except Exception as error:  # whatever a client may see is an outcome
                key, outcome, said = -1, "failed", f"{type(error).__name__}: {error}"[:300]
            history.add(Asked(kind, key, began, history.now(), outcome, said))
            stop.wait(pause_s)

    threads = [
        threading.Thread(target=loop, args=("search", "app", search, 0.1), daemon=True),
        threading.Thread(target=loop, args=("search", "app", search, 0.1), daemon=True),
        threading.Thread(target=loop, args=("insert", "loader", insert, 0.2), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield history
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * TIMEOUT_S)


def unused_keys() -> int:
    """Return the first of a million keys that no earlier run or test has inserted, by the time."""
    return int(time.time()) * 1_000_000


def keys_there(client: MilvusClient, first: int, count: int) -> set[int]:
    """Return which keys of a range a consistent read finds."""
    found: set[int] = set()
    for start in range(first, first + count, 1000):
        rows = client.query(
            COLLECTION,
            filter=f"id >= {start} and id < {min(start + 1000, first + count)}",
            output_fields=["id"],
            consistency_level="Strong",
            timeout=60,
        )
        found |= {int(row["id"]) for row in rows}
    return found
