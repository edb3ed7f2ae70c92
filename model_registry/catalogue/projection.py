"""What the events add up to: the one definition of what each kind of event means.

Commands write through it and the audit replays by it, so a table that says something else than
the events was changed by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, insert, select, update

from model_registry.catalogue.chain import Event
from model_registry.catalogue.schema import lineage, pins, versions
from model_registry.digests import canonical_json
from model_registry.errors import RegistryError

Key = tuple[str, ...]
Row = dict[str, Any]
Tables = dict[str, dict[Key, Row]]

PROJECTED: tuple[Table, ...] = (versions, lineage, pins)


@dataclass(frozen=True, slots=True)
class Change:
    """One row that an event sets; ``values`` of None remove it.

    ``is_new``: there must be no such row yet. ``is_whole``: it takes the place of any.
    """

    table: Table
    key: Key
    values: Row | None
    is_new: bool = False
    is_whole: bool = False


def changes(event: Event) -> Iterator[Change]:
    """Return what an event changes. Raises EVENT_UNKNOWN, EVENT_INVALID."""
    if event.kind not in _KINDS:
        raise RegistryError(
            "EVENT_UNKNOWN",
            f"event {event.seq} is of kind {event.kind!r}, which this release does not know",
            "use the release that wrote it; if none did, somebody else wrote it",
        )
    try:
        yield from _KINDS[event.kind](event, event.body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RegistryError(
            "EVENT_INVALID",
            f"event {event.seq} ({event.kind}) does not say what it must: {error}",
            "somebody edited it: `permafrost model audit`, then a backup",
        ) from error


def _add(event: Event, body: dict[str, Any]) -> Iterator[Change]:
    values = {
        "digest": body["digest"],
        "stage": "candidate",
        "present": 1,
        "unsafe": "\n".join(body["unsafe"]),
        "added_at": event.at,
    }
    yield Change(versions, (body["name"], body["version"]), values, is_new=True)
    if body.get("lineage") is not None:
        document = canonical_json(body["lineage"]).decode()
        yield Change(lineage, (body["digest"],), {"document": document}, is_whole=True)


def _stage(_: Event, body: dict[str, Any]) -> Iterator[Change]:
    for move in body["moves"]:
        yield Change(versions, (body["name"], move["version"]), {"stage": move["to"]})


def _restore(_: Event, body: dict[str, Any]) -> Iterator[Change]:
    yield Change(versions, (body["name"], body["version"]), {"present": 1})


def _collect(_: Event, body: dict[str, Any]) -> Iterator[Change]:
    for name, version in body["versions"]:
        yield Change(versions, (name, version), {"present": 0})


def _sign(*_: Any) -> Iterator[Change]:
    """A signature is content; the chain alone says when it was made and by whom."""
    yield from ()


def _pin(_: Event, body: dict[str, Any]) -> Iterator[Change]:
    for reference in body["dropped"]:
        yield Change(pins, (body["owner"], reference), None)
    for reference, digest in body["pins"].items():
        yield Change(pins, (body["owner"], reference), {"digest": digest}, is_whole=True)


_KINDS: dict[str, Callable[[Event, dict[str, Any]], Iterator[Change]]] = {
    "add": _add,
    "stage": _stage,
    "restore": _restore,
    "collect": _collect,
    "pin": _pin,
    "sign": _sign,
}


def write(connection: Connection, event: Event) -> None:
    """Set in the tables what an event changes."""
    for change in changes(event):
        keys = change.table.primary_key.columns
        here = and_(*(c == value for c, value in zip(keys, change.key, strict=True)))
        if change.values is None or change.is_whole:
            connection.execute(delete(change.table).where(here))
        if change.values is None:
            continue
        if change.is_new or change.is_whole:
            named = dict(zip(keys.keys(), change.key, strict=True))
            connection.execute(insert(change.table).values(**named, **change.values))
        else:
            connection.execute(update(change.table).where(here).values(**change.values))


def replay(chain: Iterable[Event]) -> Tables:
    """Return the tables that events add up to."""
    found: Tables = {table.name: {} for table in PROJECTED}
    for event in chain:
        for change in changes(event):
            rows = found[change.table.name]
            if change.values is None:
                rows.pop(change.key, None)
            else:
                rows[change.key] = {**rows.get(change.key, {}), **change.values}
    return found


def stored(connection: Connection) -> Tables:
    """Return the tables as they are."""
    found: Tables = {}
    for table in PROJECTED:
        keys = table.primary_key.columns.keys()
        found[table.name] = {
            tuple(row[k] for k in keys): {k: v for k, v in row.items() if k not in keys}
            for row in connection.execute(select(table)).mappings()
        }
    return found
