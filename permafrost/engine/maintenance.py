"""Which hosts are away by our doing; durable, so that nobody takes a second one."""

from __future__ import annotations

import json
from dataclasses import asdict

from permafrost.engine.database import Database, insert
from permafrost.engine.stored import reading
from permafrost.planning.lifecycle import MaintenanceRecord, MaintenanceState


class MaintenanceRecords:
    """The table of hosts in maintenance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[MaintenanceRecord, ...]:
        """Return every record, by host."""
        with self._database.begin() as connection:
            rows = connection.execute("SELECT record FROM maintenance ORDER BY host").fetchall()
        with reading("hosts in maintenance"):
            return tuple(_record(row["record"]) for row in rows)

    def of(self, host: str) -> MaintenanceRecord | None:
        """Return the record of one host."""
        return next((r for r in self.all() if r.host == host), None)

    def put(self, record: MaintenanceRecord) -> None:
        """Write a host's record."""
        with self._database.begin() as connection:
            connection.execute("DELETE FROM maintenance WHERE host = ?", (record.host,))
            insert(connection, "maintenance", host=record.host, record=json.dumps(asdict(record)))

    def remove(self, host: str) -> None:
        """Forget a host's maintenance: it is over."""
        with self._database.begin() as connection:
            connection.execute("DELETE FROM maintenance WHERE host = ?", (host,))


def _record(text: str) -> MaintenanceRecord:
    values = json.loads(text)
    return MaintenanceRecord(
        host=values["host"],
        name=values["name"],
        state=MaintenanceState(values["state"]),
        operation=values["operation"],
        owner=values["owner"],
        at=values["at"],
        replicas=tuple(values["replicas"]),
        moved=tuple(values["moved"]),
        powered=tuple(values["powered"]),
    )
