"""One SQLite file: write-ahead log, each commit on disk, one writer at a time.

Every transaction is immediate, so what it has read still holds when it writes: that is what
makes compare-and-swap of two processes safe.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DatabaseError

from model_registry.catalogue.migrations import migrate
from model_registry.errors import RegistryError

_BUSY_MS = 20_000
_NEEDED = 64 << 10
"""Bytes without which SQLite cannot even read: the index of its log."""


def open_database(path: Path) -> Engine:
    """Open the catalogue's file, made and brought to the present form where it is not."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise RegistryError(
            "CATALOGUE_UNUSABLE",
            f"cannot use {path}: {error.strerror}",
            "name a folder that this user may write",
        ) from error
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as connection:
            migrate(connection)
    except DatabaseError as error:
        raise unusable(path, error) from error
    return engine


def unusable(path: Path, error: DatabaseError) -> RegistryError:
    """Return the error about a catalogue that cannot be read or written: nothing was changed."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    # Where not even the log's index fits, SQLite speaks of a failed write, not of a full disk
    is_full = code == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < _NEEDED
    if is_full or code == sqlite3.SQLITE_FULL:
        return RegistryError(
            "DISK_FULL", f"{path}: {error.orig}", "make room on that disk, then run it again"
        )
    return RegistryError(
        "CATALOGUE_UNUSABLE",
        f"cannot use {path}: {error.orig}",
        "look for a full disk or a foreign file; else put a backup of it back",
    )


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
