"""A transaction is whole on disk, or nothing of it is; what waits is one connection."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from permafrost.engine.database import FILE_NAME, KEPT, Database, open_database
from permafrost.engine.state import StateStore


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(tmp_path)


def names(folder: Path) -> set[str]:
    """Return what another process sees."""
    with sqlite3.connect(folder / FILE_NAME) as other:
        return {name for (name,) in other.execute("SELECT node FROM converged")}


def written(connection: sqlite3.Connection, node: str) -> None:
    connection.execute("INSERT INTO converged VALUES (?, 'vm-1', '', '')", (node,))


def test_nothing_is_seen_of_a_transaction_that_raises_and_the_next_one_is_clean(
    database: Database, tmp_path: Path
) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.begin() as connection:
        connection.executemany("INSERT INTO converged VALUES (?, '', '', '')", [("a",), ("a",)])
    assert names(tmp_path) == set()
    with database.begin() as connection:
        written(connection, "whole")
        assert names(tmp_path) == set()
    assert names(tmp_path) == {"whole"}


def test_what_is_read_still_holds_when_it_is_written(database: Database, tmp_path: Path) -> None:
    with (
        database.begin() as connection,
        sqlite3.connect(tmp_path / FILE_NAME, timeout=0) as other,
    ):
        assert connection.execute("SELECT count(*) FROM converged").fetchone()[0] == 0
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO converged VALUES ('a', '', '', '')")
    assert names(tmp_path) == set()


def test_threads_at_once_have_a_transaction_each(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    with ThreadPoolExecutor(max_workers=2 * KEPT) as pool:
        list(pool.map(lambda n: store.record_converged(f"n{n}", "vm", "f"), range(40)))
    assert len(names(tmp_path)) == 40
    assert len(store._database._waiting) <= KEPT


def test_each_commit_is_on_disk_when_it_returns(database: Database) -> None:
    with database.begin() as connection:
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, journal) == (2, "wal")
