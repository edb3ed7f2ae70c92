"""Client keys in the control plane's memory: hashes, names and ends; never a key."""

from __future__ import annotations

from sqlite3 import Connection

from permafrost.engine.database import Database, insert
from permafrost.engine.timestamps import now_text
from permafrost.planning.clients import NEVER, ClientKey


class ClientKeys:
    """The table of keys. An ended key stays: it says who could ask until when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[ClientKey, ...]:
        """Return every key that there ever was, by name and age."""
        query = "SELECT * FROM clients ORDER BY name, added_at, digest"
        with self._database.begin() as connection:
            rows = connection.execute(query).fetchall()
        return tuple(ClientKey(r["digest"], r["name"], r["added_at"], r["expires"]) for r in rows)

    def replace(self, name: str, digest: str, *, others_end: int) -> None:
        """Add a key; the client's other keys end at ``others_end`` where they end later."""
        with self._database.begin() as connection:
            self._end(connection, name, others_end)
            insert(
                connection,
                "clients",
                digest=digest,
                name=name,
                added_at=now_text(),
                expires=NEVER,
            )

    def end(self, name: str, at: int) -> None:
        """Let every key of a client end at a moment, in seconds since the epoch."""
        with self._database.begin() as connection:
            self._end(connection, name, at)

    @staticmethod
    def _end(connection: Connection, name: str, at: int) -> None:
        connection.execute(
            "UPDATE clients SET expires = :at "
            "WHERE name = :name AND (expires = :never OR expires > :at)",
            {"at": at, "name": name, "never": NEVER},
        )
