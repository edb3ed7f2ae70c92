"""One SQLite file: write-ahead log, each commit on disk, one writer at a time.

Every transaction is immediate, so that what it reads still holds when it writes.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import (
    Connection,
    Engine,
    ExceptionContext,
    QueuePool,
    create_engine,
    event,
    insert,
    inspect,
    select,
    update,
)

from permafrost.engine.schema import meta, metadata
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
_engines: WeakValueDictionary[tuple[int, str, int, int], Engine] = WeakValueDictionary()
_opening = threading.Lock()


def open_database(state_dir: Path) -> Engine:
    """Open the database of a state folder, making folder and tables where there are none.

    Threads and hooks of one process share the store, and connections wait in a pool for the next
    transaction: SQLite empties and removes its log whenever the last one is closed, which takes
    longer than a commit. A hook opens the site for itself and may wait for hours: there is one
    pool for all of them.
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
    engine = _engine_of(path)
    with engine.begin() as connection:
        found = _bring_up_to_date(connection)
    if found > VERSION:
        raise Refused(
            Problem(
                "STATE_VERSION",
                f"{path} has form {found}, this Permafrost knows {VERSION}",
                hint="use the release of Permafrost that wrote it, or a later one",
            )
        )
    return engine


def _engine_of(path: Path) -> Engine:
    """Return the engine of a file, that which this process has already if it is the same file."""
    found = path.stat()
    # SQLite's connections must not be used beyond a fork.
    key = (os.getpid(), str(path.absolute()), found.st_dev, found.st_ino)
    with _opening:
        engine = _engines.get(key)
        if engine is None:
            engine = create_engine(f"sqlite:///{path.absolute()}", poolclass=QueuePool)
            event.listen(engine, "connect", _configure)
            event.listen(engine, "begin", _begin_immediate)
            event.listen(engine, "handle_error", partial(_translate, path))
            _engines[key] = engine
        return engine


def _bring_up_to_date(connection: Connection) -> int:
    """Make what is missing; return the version that the database had, or has now."""
    is_new = not inspect(connection).has_table(meta.name)
    metadata.create_all(connection)
    if is_new:
        connection.execute(insert(meta).values(key="version", value=str(VERSION)))
        return VERSION
    with reading("its own form"):
        query = select(meta.c.value).where(meta.c.key == "version")
        found = int(connection.execute(query).scalar_one_or_none() or "")
    if found >= VERSION:
        return found
    for version in range(found + 1, VERSION + 1):
        for statement in MIGRATIONS[version]:
            connection.exec_driver_sql(statement)
    connection.execute(update(meta).where(meta.c.key == "version").values(value=str(VERSION)))
    return VERSION


def _translate(path: Path, context: ExceptionContext) -> Failed | None:
    """Say what the disk or the file has, wherever that was met: also in the midst of a run."""
    error = context.original_exception
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return None  # a mistake of ours
    if not isinstance(error, sqlite3.DatabaseError):
        return None
    return Failed(
        Problem(
            "STATE_UNUSABLE",
            f"{path}: {error}",
            "control.state_dir",
            "look for a full disk, a foreign file, or a program that holds it; else put the "
            "copy of your backup there. `permafrost history` shows what was under way",
        )
    )


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours
    connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
