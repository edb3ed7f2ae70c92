"""Operations that the executor runs, as they stand: how far, whether anybody is at work on them.

A run is *interrupted* when it is RUNNING and its process has ended: it waits for `resume` or
`abort`, and is shown as paused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from sqlite3 import Connection, Row
from typing import Any

from permafrost.engine.database import Database, insert
from permafrost.engine.holder import Holder
from permafrost.engine.stored import reading
from permafrost.engine.timestamps import now_text
from permafrost.planning.lifecycle import is_automatic
from permafrost.planning.steps import OperationPlan, plan_of


class RunState(StrEnum):
    """Of one operation, as `permafrost show` prints it."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    ABORTED = "aborted"
    FAILED = "failed"
    CONTINUED = "continued"
    """Begun again by its own command: that operation has the rest of it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do for it."""
        return self in (RunState.DONE, RunState.ABORTED, RunState.CONTINUED)


OUTCOMES = {
    RunState.DONE: "DONE",
    RunState.ABORTED: "ABORTED",
    RunState.FAILED: "FAILED",
    RunState.PAUSED: "PAUSED",
    RunState.CONTINUED: "CUT",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``back`` is the plan that undoes it, once it is being aborted."""

    operation: str
    plan: OperationPlan
    back: OperationPlan | None
    state: RunState
    wish: str
    step: str
    error: Mapping[str, Any] | None
    receipt: str
    owner: str
    holder: Holder
    started_at: str
    finished_at: str | None

    @property
    def continued_by(self) -> str:
        """The operation that has gone on with it; empty while there is none."""
        return str((self.error or {}).get("by", "")) if self.state is RunState.CONTINUED else ""

    @property
    def is_interrupted(self) -> bool:
        """Whether it was begun and its process is no more; of another machine's: never."""
        if self.state is not RunState.RUNNING:
            return False
        return self.holder.has_ended() or self.holder == Holder.me()

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        state = RunState.PAUSED if self.is_interrupted else self.state
        return {
            "schema": 1,
            "operation": self.operation,
            "command": self.plan.name,
            "state": state.value,
            "step": self.step,
            "receipt": self.receipt or None,
            "interrupted": self.is_interrupted,
            "direction": "back" if self.back else "forward",
            "owner": self.owner,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "error": dict(self.error) if self.error else None,
            "continued_by": self.continued_by or None,
        }


JOINED = """SELECT runs.*, operations.owner, operations.holder, operations.started_at,
    operations.finished_at FROM runs JOIN operations ON operations.id = runs.operation"""
NEWEST_FIRST = "ORDER BY operations.started_at DESC, operations.rowid DESC"


class Runs:
    """The table of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, operation: str) -> Run | None:
        """Return one run."""
        query = f"{JOINED} WHERE runs.operation = ?"
        with self._database.begin() as connection:
            row = connection.execute(query, (operation,)).fetchone()
        return None if row is None else _run(row)

    def all(self, limit: int = 1000) -> tuple[Run, ...]:
        """Return the latest runs, newest first."""
        query = f"{JOINED} {NEWEST_FIRST} LIMIT ?"
        with self._database.begin() as connection:
            return tuple(_run(row) for row in connection.execute(query, (limit,)).fetchall())

    def on(self, target: str) -> Iterator[Run]:
        """Yield the runs on a target, newest first; each is read when it is come to.

        A site's history only grows, and who asks wants the latest.
        """
        query = f"{JOINED} WHERE runs.target = ? {NEWEST_FIRST}"
        with self._database.begin() as connection:
            rows = connection.execute(query, (target,)).fetchall()
        return (_run(row) for row in rows)

    def unfinished(self) -> tuple[Run, ...]:
        """Return persons' runs that wait for `resume` or `abort`, newest first."""
        query = f"{JOINED} WHERE runs.state IN (?, ?) {NEWEST_FIRST}"
        waiting = (RunState.RUNNING.value, RunState.PAUSED.value)
        with self._database.begin() as connection:
            found = [_run(row) for row in connection.execute(query, waiting).fetchall()]
        return tuple(
            r
            for r in found
            if not is_automatic(r.owner) and (r.is_interrupted or r.state is RunState.PAUSED)
        )

    def take_up(self, operation: str, *, back: OperationPlan | None = None) -> None:
        """Make this process the one at work on a run; with ``back`` it is undone from now on."""
        values: dict[str, str] = {"state": RunState.RUNNING.value, "wish": "", "error": ""}
        if back is not None:
            values["back"] = json.dumps(back.as_dict())
        with self._database.begin() as connection:
            _update(connection, operation, values)
            connection.execute(
                "UPDATE operations SET holder = ?, finished_at = NULL, outcome = NULL "
                "WHERE id = ?",
                (Holder.me().to_text(), operation),
            )

    def goes_on(self, operation: str, step: str) -> bool:
        """Note how far a run is; False, and nothing noted, when somebody asked it to stop."""
        with self._database.begin() as connection:
            if _wishes_pause(connection, operation):
                return False
            _update(connection, operation, {"step": step})
            return True

    def end(
        self,
        operation: str,
        state: RunState,
        *,
        error: Mapping[str, Any] | None = None,
        receipt: str = "",
    ) -> None:
        """Note how a run ended; its line in the history is the caller's to close."""
        values = {"state": state.value, "error": json.dumps(dict(error)) if error else ""}
        if receipt:
            values["receipt"] = receipt
        with self._database.begin() as connection:
            _update(connection, operation, values)

    def continued(self, operation: str, *, by: str) -> None:
        """Note which operation has gone on with a run, which is over with that."""
        with self._database.begin() as connection:
            _continued(connection, operation, by)

    def wish_pause(self, operation: str) -> None:
        """Ask the run to stop before its next step."""
        with self._database.begin() as connection:
            _update(connection, operation, {"wish": "pause"})


def note_run(
    connection: Connection, operation: str, plan: OperationPlan, continues: Iterable[str]
) -> None:
    """Note an operation's plan, before its first step; what it continues ends with that."""
    insert(
        connection,
        "runs",
        operation=operation,
        target=plan.target,
        plan=json.dumps(plan.as_dict()),
        back="",
        state=RunState.RUNNING.value,
        wish="",
        step="",
        error="",
        receipt="",
    )
    for before in continues:
        _continued(connection, before, operation)


def _continued(connection: Connection, operation: str, by: str) -> None:
    said = {
        "code": "CONTINUED",
        "message": f"its command was begun again: {by}",
        "path": operation,
        "hint": f"`permafrost show {by}` tells the rest",
        "by": by,
    }
    values = {"state": RunState.CONTINUED.value, "wish": "", "error": json.dumps(said)}
    _update(connection, operation, values)
    connection.execute(
        "UPDATE operations SET finished_at = ?, outcome = ? WHERE id = ?",
        (now_text(), OUTCOMES[RunState.CONTINUED], operation),
    )


def _wishes_pause(connection: Connection, operation: str) -> bool:
    query = "SELECT wish FROM runs WHERE operation = ?"
    row = connection.execute(query, (operation,)).fetchone()
    return row is not None and row["wish"] == "pause"


def _update(connection: Connection, operation: str, values: Mapping[str, str]) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(
        f"UPDATE runs SET {changes} WHERE operation = :operation",  # noqa: S608
        {**values, "operation": operation},
    )


def _run(row: Row) -> Run:
    with reading(f"operation {row['operation']}"):
        return Run(
            row["operation"],
            plan_of(json.loads(row["plan"])),
            plan_of(json.loads(row["back"])) if row["back"] else None,
            RunState(row["state"]),
            row["wish"],
            row["step"],
            dict(json.loads(row["error"])) if row["error"] else None,
            row["receipt"],
            row["owner"],
            Holder.from_text(row["holder"]),
            row["started_at"],
            row["finished_at"],
        )
