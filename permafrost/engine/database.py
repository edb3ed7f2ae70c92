"""One SQLite file: write-ahead log, each commit on disk, one writer at a time.

Every transaction is immediate, so that what it reads still holds when it writes. The standard
library's own binding: to import a toolkit took longer than all else that opens a site.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary, finalize

from permafrost.engine.schema import META, TABLES
from permafrost.engine.stored import reading
from permafrost.errors import Failed, Problem, Refused

FILE_NAME = "permafrost.db"
VERSION = 3
MIGRATIONS = {
    2: ("ALTER TABLE replicas ADD COLUMN holder TEXT NOT NULL DEFAULT ''",),
    3: ("ALTER TABLE replicas ADD COLUMN deadline TEXT NOT NULL DEFAULT ''",),
}
"""What brings a database of an earlier release to each version."""

BUSY_S = 20
KEPT = 5
"""So many connections wait for the next transaction; further ones are closed after theirs."""


class Database:
    """The file, with connections that wait for the next transaction; safe from any thread.

    SQLite empties and removes its log whenever the last connection is closed, which takes longer
    than a commit.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[sqlite3.Connection] = deque()
        finalize(self, _close, self._waiting)

    @contextmanager
    def begin(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction for a block, on disk when it has ended; none of it where it raises.

        Raises Failed (STATE_UNUSABLE) with what the disk or the file has, wherever that is met.
        """
        with self._translated():
            connection = self._take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                self.commit(connection)
            except BaseException:
                self._take_back(connection)
                raise
            self._keep(connection)

    def commit(self, connection: sqlite3.Connection) -> None:
        """End a transaction; it is on disk when this returns."""
        connection.execute("COMMIT")

    def _take(self) -> sqlite3.Connection:
        try:
            return self._waiting.pop()
        except IndexError:
            return _connect(self._path)

    def _keep(self, connection: sqlite3.Connection) -> None:
        if len(self._waiting) < KEPT:
            self._waiting.append(connection)
        else:
            connection.close()

    def _take_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            # What was not committed ends with the connection.
            with suppress(sqlite3.Error):
                connection.close()
        else:
            self._keep(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Say what the disk or the file has, wherever that was met: also in the midst of a run."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a mistake of ours
        except sqlite3.DatabaseError as error:
            raise Failed(
                Problem(
                    "STATE_UNUSABLE",
                    f"{self._path}: {error}",
                    "control.state_dir",
                    "look for a full disk, a foreign file, or a program that holds it; else put "
                    "the copy of your backup there. `permafrost history` shows what was under way",
                )
            ) from None


_known: WeakValueDictionary[tuple[int, str, int, int], Database] = WeakValueDictionary()
_opening = threading.Lock()


def open_database(state_dir: Path) -> Database:
    """Open the database of a state folder, making folder and tables where there are none.

    Threads and hooks of one process share the store. A hook opens the site for itself and may
    wait for hours: there is one set of connections for all of them.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = state_dir / FILE_NAME
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise Failed(
            Problem(
                "STATE_UNUSABLE",
                f"cannot use {state_dir}: {error.strerror}",
                "control.state_dir",
                "name a folder that this user may write",
            )
        ) from None
    database = _database_of(path)
    with database.begin() as connection:
        found = _bring_up_to_date(connection)
    if found > VERSION:
        raise Refused(
            Problem(
                "STATE_VERSION",
                f"{path} has form {found}, this Permafrost knows {VERSION}",
                hint="use the release of Permafrost that wrote it, or a later one",
            )
        )
    return database


def insert(connection: sqlite3.Connection, table: str, **values: object) -> None:
    """Write a new row. Names of table and columns are ours; values are handed over as such."""
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)  # noqa: S608


def _database_of(path: Path) -> Database:
    """Return a file's database, that which this process has already if it is the same file."""
    found = path.stat()
    # SQLite's connections must not be used beyond a fork.
    key = (os.getpid(), str(path.absolute()), found.st_dev, found.st_ino)
    with _opening:
        database = _known.get(key)
        if database is None:
            database = _known[key] = Database(path.absolute())
        return database


def _connect(path: Path) -> sqlite3.Connection:
    # BEGIN is ours; each thread has the connection for a transaction of its own.
    made = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    made.row_factory = sqlite3.Row
    made.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
    made.execute("PRAGMA journal_mode = WAL")
    made.execute("PRAGMA synchronous = FULL")
    return made


def _close(waiting: deque[sqlite3.Connection]) -> None:
    while waiting:
        with suppress(sqlite3.Error):
            waiting.pop().close()


def _bring_up_to_date(connection: sqlite3.Connection) -> int:
    """Make what is missing; return the version that the database had, or has now."""
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    is_new = connection.execute(known, (META,)).fetchone() is None
    for statement in TABLES:
        connection.execute(statement)
    if is_new:
        insert(connection, META, key="version", value=str(VERSION))
        return VERSION
    with reading("its own form"):
        row = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        found = int(row["value"] if row else "")
    if found >= VERSION:
        return found
    for version in range(found + 1, VERSION + 1):
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(VERSION),))
    return VERSION
