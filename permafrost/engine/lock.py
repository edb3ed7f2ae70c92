"""One operation a site at a time.

The lock names its holder by machine, boot, pid and start time, and is renewed before each
effect. A dead holder's lock is taken over at once. A living one whose lease has run out is ended
first, with all that it started: asleep, it would otherwise wake up and go on. That of a machine
that cannot be asked is never taken. A child of the holder joins by the token.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection

from permafrost.engine.database import Database, insert
from permafrost.engine.fencing import end_process
from permafrost.engine.holder import Holder
from permafrost.engine.timestamps import rfc3339
from permafrost.errors import Held, Problem

LEASE_S = 900
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LockFacts:
    """Who holds the site."""

    owner: str
    token: str
    holder: Holder
    acquired_at: str
    expires_at: str

    @property
    def has_expired(self) -> bool:
        """Whether its holder has not renewed it in time."""
        return datetime.now(UTC) >= datetime.fromisoformat(self.expires_at)


class SiteLock:
    """The site's lock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, owner: str, *, lease_s: int = LEASE_S) -> str:
        """Take the lock and return its token; raise Held when somebody living has it."""
        token = secrets.token_hex(16)
        self._fence_overdue()
        now = datetime.now(UTC)
        with self._database.begin() as connection:
            current = _current(connection)
            if current is not None and _stands(current):
                raise _held(current)
            connection.execute("DELETE FROM site_lock")
            insert(
                connection,
                "site_lock",
                id=1,
                owner=owner,
                token=token,
                holder=Holder.me().to_text(),
                acquired_at=rfc3339(now),
                expires_at=rfc3339(now + timedelta(seconds=lease_s)),
            )
        return token

    def _fence_overdue(self) -> None:
        """End a holder of this machine whose lease has run out."""
        current = self.holder()
        if current is None or not current.has_expired or not current.holder.is_here():
            return
        if current.holder != Holder.me():
            log.warning("%s let its lease run out; ending it (%s)", current.holder, current.owner)
            end_process(current.holder)

    def check(self, token: str | None, *, lease_s: int = LEASE_S) -> None:
        """Raise Held unless the lock is free or ours; to be called just before each effect."""
        with self._database.begin() as connection:
            current = _current(connection)
            if current is None:
                if token is not None:
                    raise Held(
                        Problem("LOCK_LOST", "the site's lock is gone", hint="run it again")
                    )
                return
            if token is not None and secrets.compare_digest(current.token, token):
                expires = rfc3339(datetime.now(UTC) + timedelta(seconds=lease_s))
                connection.execute("UPDATE site_lock SET expires_at = ?", (expires,))
                return
            if token is not None or _stands(current):
                raise _held(current)

    def require_free(self, token: str | None) -> None:
        """Raise Held as ``acquire`` would, and take nothing: whoever plans first is told first."""
        current = self.holder()
        if current is None or (current.has_expired and current.holder.is_here()):
            return
        if token is None or not secrets.compare_digest(current.token, token):
            raise _held(current)

    def release(self, token: str) -> None:
        """Give the lock back; nothing happens when it is no longer ours."""
        with self._database.begin() as connection:
            connection.execute("DELETE FROM site_lock WHERE token = ?", (token,))

    def holder(self) -> LockFacts | None:
        """Return who holds the site now; a dead holder's lock counts as free."""
        with self._database.begin() as connection:
            current = _current(connection)
        return current if current is not None and _stands(current) else None

    @contextmanager
    def held(self, owner: str) -> Iterator[str]:
        """Hold the lock for a block; its token is given."""
        token = self.acquire(owner)
        try:
            yield token
        finally:
            self.release(token)


def _current(connection: Connection) -> LockFacts | None:
    values = connection.execute("SELECT * FROM site_lock").fetchone()
    if values is None:
        return None
    return LockFacts(
        str(values["owner"]),
        str(values["token"]),
        Holder.from_text(str(values["holder"])),
        str(values["acquired_at"]),
        str(values["expires_at"]),
    )


def _stands(lock: LockFacts) -> bool:
    return not lock.holder.has_ended()


def _held(lock: LockFacts) -> Held:
    if lock.holder.is_here():
        hint = "wait until it has ended; `permafrost status` shows the operation"
    else:
        hint = f"only {lock.holder.machine} can tell whether it still runs: work from there"
    return Held(
        Problem(
            "SITE_HELD",
            f"{lock.owner} holds the site since {lock.acquired_at} ({lock.holder})",
            hint=hint,
        )
    )
