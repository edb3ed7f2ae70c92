"""How the catalogue's form came to be, step by step; a step that was released never changes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, inspect, select

from model_registry.catalogue.clock import text_of, utc_now
from model_registry.catalogue.schema import migrations
from model_registry.errors import RegistryRefused


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step."""

    number: int
    name: str
    statements: tuple[str, ...]


STEPS: tuple[Migration, ...] = (
    Migration(
        1,
        "events, versions",
        (
            "CREATE TABLE events (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, "
            "why TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, previous TEXT NOT NULL, "
            "hash TEXT NOT NULL)",
            # Against slips, not against an attacker: that is what exported heads are for
            "CREATE TRIGGER events_stay BEFORE UPDATE ON events "
            "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END",
            "CREATE TRIGGER events_remain BEFORE DELETE ON events "
            "BEGIN SELECT RAISE(ABORT, 'events are never removed'); END",
            "CREATE TABLE versions (name TEXT NOT NULL, version TEXT NOT NULL, "
            "digest TEXT NOT NULL, stage TEXT NOT NULL, present INTEGER NOT NULL, "
            "unsafe TEXT NOT NULL, added_at TEXT NOT NULL, PRIMARY KEY (name, version))",
            "CREATE UNIQUE INDEX one_holder ON versions (name, stage) "
            "WHERE stage IN ('staging', 'production')",
        ),
    ),
    Migration(
        2,
        "lineage, pins",
        (
            "CREATE TABLE lineage (digest TEXT NOT NULL PRIMARY KEY, document TEXT NOT NULL)",
            "CREATE TABLE pins (owner TEXT NOT NULL, reference TEXT NOT NULL, "
            "digest TEXT NOT NULL, PRIMARY KEY (owner, reference))",
        ),
    ),
)


def migrate(connection: Connection, steps: tuple[Migration, ...] = STEPS) -> None:
    """Take the steps that this catalogue has not taken, in the caller's transaction."""
    if not inspect(connection).has_table("migrations"):
        connection.exec_driver_sql(
            "CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, "
            "at TEXT NOT NULL)"
        )
    taken = set(connection.execute(select(migrations.c.number)).scalars())
    if ahead := taken - {step.number for step in steps}:
        raise RegistryRefused(
            "CATALOGUE_NEWER",
            f"the catalogue has form {max(ahead)}, this release knows {steps[-1].number}",
            "use the release that wrote it",
        )
    for step in steps:
        if step.number in taken:
            continue
        for statement in step.statements:
            connection.exec_driver_sql(statement)
        connection.execute(
            insert(migrations).values(number=step.number, name=step.name, at=text_of(utc_now()))
        )
