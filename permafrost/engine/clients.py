"""Client keys in the control plane's memory: hashes, names and ends; never a key."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, insert, select, update

from permafrost.engine import schema
from permafrost.engine.timestamps import now_text
from permafrost.planning.clients import NEVER, ClientKey


class ClientKeys:
    """The table of keys. An ended key stays: it says who could ask until when."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> tuple[ClientKey, ...]:
        """Return every key that there ever was, by name and age."""
        table = schema.clients
        query = select(table).order_by(table.c.name, table.c.added_at, table.c.digest)
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
        return tuple(ClientKey(r.digest, r.name, r.added_at, r.expires) for r in rows)

    def replace(self, name: str, digest: str, *, others_end: int) -> None:
        """Add a key; the client's other keys end at ``others_end`` where they end later."""
        with self._engine.begin() as connection:
            self._end(connection, name, others_end)
            connection.execute(
                insert(schema.clients).values(
                    digest=digest, name=name, added_at=now_text(), expires=NEVER
                )
            )

    def end(self, name: str, at: int) -> None:
        """Let every key of a client end at a moment, in seconds since the epoch."""
        with self._engine.begin() as connection:
            self._end(connection, name, at)

    @staticmethod
    def _end(connection: Connection, name: str, at: int) -> None:
        table = schema.clients
        later = (table.c.expires == NEVER) | (table.c.expires > at)
        connection.execute(update(table).where((table.c.name == name) & later).values(expires=at))
