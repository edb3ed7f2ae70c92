"""The append-only chain: each event carries the hash of the one before it.

Whoever holds an exported head (number and hash of the last event then) can tell later that
nothing up to it was changed or cut off. Without one, a chain that was rewritten from some event
on, with all that follows, looks whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from model_registry.catalogue.clock import is_far_ahead, text_of
from model_registry.catalogue.schema import events
from model_registry.digests import canonical_json, of_bytes

GENESIS = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was done: when, by whom, why. ``text`` is its body as it is stored."""

    seq: int
    at: str
    who: str
    why: str
    kind: str
    text: str
    previous: str
    hash: str

    @property
    def body(self) -> dict[str, Any]:
        """What was done."""
        return dict(json.loads(self.text))

    def expected_hash(self) -> str:
        """Return the hash that the fields give."""
        fields = asdict(self)
        del fields["hash"]
        return of_bytes(canonical_json(fields))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        fields = asdict(self)
        del fields["text"]
        return {**fields, "body": self.body}


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a chain, as it is handed out."""

    seq: int
    hash: str


def read(connection: Connection) -> tuple[Event, ...]:
    """Return all events in order."""
    rows = connection.execute(select(events).order_by(events.c.seq)).all()
    return tuple(
        Event(r.seq, r.at, r.who, r.why, r.kind, r.body, r.previous, r.hash) for r in rows
    )


def append(
    connection: Connection, *, now: datetime, who: str, why: str, kind: str, body: dict[str, Any]
) -> Event:
    """Add an event after the last one; its time is never before that one's.

    Unless that one's is far in the future: then its writer's clock was wrong, and to go on from
    there would make every later time wrong too. This one then says what it knows.
    """
    last = connection.execute(select(events).order_by(events.c.seq.desc()).limit(1)).one_or_none()
    at = text_of(now)
    if last and not is_far_ahead(last.at, now):
        at = max(at, last.at)
    unhashed = Event(
        seq=last.seq + 1 if last else 1,
        at=at,
        who=who,
        why=why,
        kind=kind,
        text=canonical_json(body).decode(),
        previous=last.hash if last else GENESIS,
        hash="",
    )
    event = Event(**{**asdict(unhashed), "hash": unhashed.expected_hash()})
    fields = asdict(event)
    connection.execute(insert(events).values(body=fields.pop("text"), **fields))
    return event


def first_break(chain: Sequence[Event]) -> int | None:
    """Return the number of the first event that does not follow from the one before it."""
    previous = GENESIS
    for number, event in enumerate(chain, start=1):
        if event.seq != number or event.previous != previous:
            return number
        if event.hash != event.expected_hash():
            return number
        previous = event.hash
    return None
