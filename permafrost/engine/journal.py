"""Operations that were begun, how they ended, and their journal."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from sqlite3 import Connection, Row
from typing import Any

from permafrost.engine.database import Database, insert
from permafrost.engine.holder import Holder
from permafrost.engine.stored import reading
from permafrost.engine.timestamps import now_text


class Phase(StrEnum):
    """Of one step in the journal."""

    INTENT = "INTENT"
    DONE = "DONE"
    FAILED = "FAILED"
    ALREADY = "ALREADY"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal."""

    operation: str
    step: str
    kind: str
    target: str
    phase: Phase
    at: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One run of a mutating command."""

    id: str
    command: str
    owner: str
    fingerprint: str
    started_at: str
    finished_at: str | None
    outcome: str | None
    is_interrupted: bool = False
    """Whether it was begun, is not over, and its process is no more; another machine's: never."""

    def as_dict(self) -> dict[str, str | None]:
        """Return plain values for JSON."""
        return {
            "id": self.id,
            "command": self.command,
            "owner": self.owner,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "outcome": self.outcome,
        }


class OperationLog:
    """The tables of operations and of their journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        command: str,
        *,
        owner: str,
        fingerprint: str,
        detail: Any,
        also: Callable[[Connection, str], None] = lambda *_: None,
    ) -> str:
        """Open an operation and return its id; ``also`` writes in the same transaction.

        Those of dead processes are closed as cut, but for those that can be resumed.
        """
        operation = f"{now_text()[:19].replace(':', '').replace('-', '')}Z-{secrets.token_hex(3)}"
        with self._database.begin() as connection:
            open_rows = connection.execute(
                "SELECT id, holder FROM operations "
                "WHERE finished_at IS NULL AND id NOT IN (SELECT operation FROM runs)"
            ).fetchall()
            for row in open_rows:
                if Holder.from_text(row["holder"]).has_ended():
                    _finish(connection, row["id"], "CUT")
            insert(
                connection,
                "operations",
                id=operation,
                command=command,
                owner=owner,
                fingerprint=fingerprint,
                holder=Holder.me().to_text(),
                started_at=now_text(),
                finished_at=None,
                outcome=None,
                detail=json.dumps(detail or {}),
            )
            also(connection, operation)
        return operation

    def finish(self, operation: str, outcome: str) -> None:
        """Close an operation: DONE, FAILED or REFUSED."""
        with self._database.begin() as connection:
            _finish(connection, operation, outcome)

    def latest(self, limit: int) -> tuple[Operation, ...]:
        """Return the latest operations, newest first."""
        query = "SELECT * FROM operations ORDER BY started_at DESC, rowid DESC LIMIT ?"
        with self._database.begin() as connection:
            rows = connection.execute(query, (limit,)).fetchall()
        return tuple(_operation(r) for r in rows)

    def begun_since(self, operation: str) -> tuple[Operation, ...]:
        """Return what began after an operation, oldest first; by their order, not a clock."""
        query = """SELECT * FROM operations
            WHERE rowid > (SELECT rowid FROM operations WHERE id = ?) ORDER BY rowid"""
        with self._database.begin() as connection:
            rows = connection.execute(query, (operation,)).fetchall()
        return tuple(_operation(r) for r in rows)

    def note(
        self,
        operation: str,
        step: str,
        *,
        kind: str,
        target: str,
        phase: Phase,
        detail: Mapping[str, Any],
    ) -> None:
        """Write one line of the journal; on disk when this returns."""
        with self._database.begin() as connection:
            insert(
                connection,
                "journal",
                operation=operation,
                step=step,
                kind=kind,
                target=target,
                phase=phase.value,
                at=now_text(),
                detail=json.dumps(dict(detail), sort_keys=True),
            )

    def entries(self, operation: str | None) -> tuple[JournalEntry, ...]:
        """Return the journal, oldest first, of one operation or of all."""
        query, of = "SELECT * FROM journal ORDER BY seq", tuple[str, ...]()
        if operation is not None:
            query, of = "SELECT * FROM journal WHERE operation = ? ORDER BY seq", (operation,)
        with self._database.begin() as connection:
            rows = connection.execute(query, of).fetchall()
        return tuple(_entry(row) for row in rows)


def _finish(connection: Connection, operation: str, outcome: str) -> None:
    connection.execute(
        "UPDATE operations SET finished_at = ?, outcome = ? WHERE id = ?",
        (now_text(), outcome, operation),
    )


def _operation(row: Row) -> Operation:
    return Operation(
        row["id"],
        row["command"],
        row["owner"],
        row["fingerprint"],
        row["started_at"],
        row["finished_at"],
        row["outcome"],
        row["finished_at"] is None and Holder.from_text(row["holder"]).has_ended(),
    )


def _entry(row: Row) -> JournalEntry:
    with reading(f"operation {row['operation']}, step {row['step']}"):
        detail = dict(json.loads(row["detail"]))
        return JournalEntry(
            row["operation"],
            row["step"],
            row["kind"],
            row["target"],
            Phase(row["phase"]),
            row["at"],
            detail,
        )
