"""One SQLite file: write-ahead log, each commit on disk, one writer at a time.

Every transaction is immediate, so that what it reads still holds when it writes.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, insert, select
from sqlalchemy.exc import DatabaseError

from permafrost.engine.schema import meta, metadata
from permafrost.errors import Failed, Problem, Refused

FILE_NAME = "permafrost.db"
VERSION = "1"
BUSY_S = 20


def open_database(state_dir: Path) -> Engine:
    """Open the database of a state folder, making folder and tables where there are none."""
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
    # Threads and hooks of one process share the store: each transaction opens its own connection.
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as connection:
            metadata.create_all(connection)
            found = connection.execute(
                select(meta.c.value).where(meta.c.key == "version")
            ).scalar()
            if found is None:
                connection.execute(insert(meta).values(key="version", value=VERSION))
    except DatabaseError as error:
        raise Failed(Problem("STATE_UNUSABLE", f"cannot open {path}: {error.orig}")) from None
    if found not in (None, VERSION):
        raise Refused(
            Problem(
                "STATE_VERSION",
                f"{path} has form {found}, this Permafrost knows {VERSION}",
                hint="use the release of Permafrost that wrote it",
            )
        )
    return engine


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours
    connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
