"""What the control plane remembers: placement, declared replica states, operations, journal.

Nothing here is a guess about the world: existence is Pulumi's, the rest is observed anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from permafrost.engine.clients import ClientKeys
from permafrost.engine.database import insert, open_database
from permafrost.engine.holder import Holder
from permafrost.engine.journal import JournalEntry, Operation, OperationLog, Phase
from permafrost.engine.lock import SiteLock
from permafrost.engine.maintenance import MaintenanceRecords
from permafrost.engine.receipts import ReceiptChain
from permafrost.engine.runs import Runs, note_run
from permafrost.engine.stored import reading
from permafrost.engine.timestamps import now_text
from permafrost.errors import Problem, Refused
from permafrost.planning.lifecycle import Declared, DeclaredState
from permafrost.planning.placement import Placement, Slot
from permafrost.planning.steps import OperationPlan

SITE = "site"
"""The row that says whose memory it is."""

__all__ = ["Declared", "DeclaredState", "JournalEntry", "Operation", "Phase", "StateStore"]


class StateStore:
    """The control plane's memory in ``<state_dir>/permafrost.db``; safe across processes."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._database = open_database(state_dir)
        self._log = OperationLog(self._database)
        self.lock = SiteLock(self._database)
        self.clients = ClientKeys(self._database)
        self.runs = Runs(self._database)
        self.maintenance = MaintenanceRecords(self._database)
        self.receipts = ReceiptChain(self._database, state_dir / "receipts")

    def claim(self, site: str) -> None:
        """Note whose memory this is; Refused (STATE_OF_ANOTHER_SITE) where it is another's.

        Two sites in one folder would take each other's placement, replicas and lock for theirs.
        """
        with self._database.begin() as connection:
            known = _kept(connection, SITE)
            if known is None:
                insert(connection, "meta", key=SITE, value=site)
        if known not in (None, site):
            raise Refused(
                Problem(
                    "STATE_OF_ANOTHER_SITE",
                    f"{self.state_dir} is the memory of site {known}, this file is {site}",
                    "control.state_dir",
                    "give each site a folder of its own; a site that was renamed is another one",
                )
            )

    def placement(self) -> Placement:
        """Return the recorded placement; empty before the first deployment."""
        with self._database.begin() as connection:
            rows = connection.execute("SELECT * FROM placement").fetchall()
        with reading("placement"):
            return Placement(
                {
                    r["node"]: Slot(r["host"], r["host_moid"], tuple(json.loads(r["gpus"])))
                    for r in rows
                }
            )

    def record_placement(self, placement: Mapping[str, Slot]) -> None:
        """Replace the recorded placement by this one."""
        with self._database.begin() as connection:
            connection.execute("DELETE FROM placement")
            for node, slot in sorted(placement.items()):
                insert(
                    connection,
                    "placement",
                    node=node,
                    host=slot.host,
                    host_moid=slot.host_moid,
                    gpus=json.dumps(list(slot.gpus)),
                )

    def declared(self) -> dict[str, Declared]:
        """Return the declared state of every replica that has one."""
        with self._database.begin() as connection:
            return _declared(connection)

    def declare(
        self,
        node: str,
        state: DeclaredState,
        *,
        owner: str,
        reason: str = "",
        deadline: str = "",
    ) -> Declared:
        """Decide a replica's state. ``deadline`` is RFC 3339, empty where there is none."""
        holder = Holder.me().to_text()
        record = Declared(node, state, owner, reason, now_text(), holder, deadline)
        with self._database.begin() as connection:
            _declare(connection, record)
        return record

    def take_turn(
        self,
        node: str,
        among: frozenset[str],
        *,
        floor: int,
        owner: str,
        reason: str,
        serving: frozenset[str],
    ) -> tuple[Declared, ...]:
        """Declare ``node`` DRAINING if ``floor`` others stay and no program has one away.

        ``serving`` were seen to serve; those of them that were declared away since do not count.
        One transaction, so of two that ask at once only one gets it. Returns () when the turn
        was given (or was the node's already), else the records that stand in the way.
        """
        holder = Holder.me().to_text()
        asks = Declared(node, DeclaredState.DRAINING, owner, reason, now_text(), holder)
        with self._database.begin() as connection:
            records = _declared(connection)
            mine = records.get(node)
            if mine is not None and mine.is_away:
                return ()
            away = tuple(
                records[n] for n in sorted(among - {node}) if n in records and records[n].is_away
            )
            left = serving - {node} - {r.node for r in away}
            in_transit = tuple(r for r in away if r.is_automatic)
            if asks.is_automatic and in_transit:
                return in_transit
            if len(left) < floor and away:
                return away
            _declare(connection, asks)
            return ()

    def at_work_on(self, node: str) -> Holder | None:
        """Return the living program that has taken a replica away and will bring it back."""
        declared = self.declared().get(node)
        if declared is None or not (declared.is_away and declared.is_automatic):
            return None
        holder = Holder.from_text(declared.holder) if declared.holder else Holder.me()
        return None if holder.has_ended() or holder == Holder.me() else holder

    def forget(self, node: str) -> None:
        """Forget a node whose VM is gone."""
        with self._database.begin() as connection:
            connection.execute("DELETE FROM replicas WHERE node = ?", (node,))
            connection.execute("DELETE FROM converged WHERE node = ?", (node,))
            connection.execute("DELETE FROM placement WHERE node = ?", (node,))

    def remember(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep one document under a name; it takes the place of what was there."""
        with self._database.begin() as connection:
            connection.execute("DELETE FROM meta WHERE key = ?", (_document(key),))
            text = json.dumps(dict(value), sort_keys=True)
            insert(connection, "meta", key=_document(key), value=text)

    def recall(self, key: str) -> dict[str, Any] | None:
        """Return the document that is kept under a name."""
        with self._database.begin() as connection:
            text = _kept(connection, _document(key))
        with reading(key):
            found: dict[str, Any] | None = None if text is None else dict(json.loads(text))
        return found

    def record_converged(self, node: str, vm: str, fingerprint: str) -> None:
        """Note with which inputs a VM was last configured."""
        with self._database.begin() as connection:
            connection.execute("DELETE FROM converged WHERE node = ?", (node,))
            insert(
                connection, "converged", node=node, vm=vm, fingerprint=fingerprint, at=now_text()
            )

    def converged(self, node: str) -> tuple[str, str] | None:
        """Return (vm, fingerprint) of the last configuration of a node."""
        with self._database.begin() as connection:
            row = connection.execute(
                "SELECT vm, fingerprint FROM converged WHERE node = ?", (node,)
            ).fetchone()
        return None if row is None else (row["vm"], row["fingerprint"])

    def begin(self, command: str, *, owner: str, fingerprint: str = "", detail: Any = None) -> str:
        """Open an operation and return its id.

        Those of dead processes are closed as cut, but for those that can be resumed.
        """
        return self._log.begin(command, owner=owner, fingerprint=fingerprint, detail=detail)

    def begin_run(self, plan: OperationPlan, *, owner: str, continues: Iterable[str] = ()) -> str:
        """Open the operation of a plan and return its id; what it continues ends with that."""
        return self._log.begin(
            plan.name,
            owner=owner,
            fingerprint=plan.fingerprint,
            detail=plan.as_dict(),
            also=lambda connection, operation: note_run(connection, operation, plan, continues),
        )

    def finish(self, operation: str, outcome: str) -> None:
        """Close an operation: DONE, FAILED or REFUSED."""
        self._log.finish(operation, outcome)

    def operations(self, limit: int = 20) -> tuple[Operation, ...]:
        """Return the latest operations, newest first."""
        return self._log.latest(limit)

    def begun_since(self, operation: str) -> tuple[Operation, ...]:
        """Return the operations that began after one, oldest first."""
        return self._log.begun_since(operation)

    def note(
        self,
        operation: str,
        step: str,
        *,
        kind: str,
        target: str,
        phase: Phase,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one line of the journal; on disk when this returns."""
        self._log.note(operation, step, kind=kind, target=target, phase=phase, detail=detail or {})

    def journal(self, operation: str | None = None) -> tuple[JournalEntry, ...]:
        """Return the journal, oldest first, of one operation or of all."""
        return self._log.entries(operation)


def _document(key: str) -> str:
    return f"document:{key}"


def _kept(connection: Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row["value"]


def _declared(connection: Connection) -> dict[str, Declared]:
    rows = connection.execute("SELECT * FROM replicas ORDER BY node").fetchall()
    with reading("replicas"):
        return {
            r["node"]: Declared(
                r["node"],
                DeclaredState(r["state"]),
                r["owner"],
                r["reason"],
                r["at"],
                r["holder"],
                r["deadline"],
            )
            for r in rows
        }


def _declare(connection: Connection, record: Declared) -> None:
    connection.execute("DELETE FROM replicas WHERE node = ?", (record.node,))
    insert(
        connection,
        "replicas",
        node=record.node,
        state=record.state.value,
        owner=record.owner,
        reason=record.reason,
        at=record.at,
        holder=record.holder,
        deadline=record.deadline,
    )
