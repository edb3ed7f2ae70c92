"""An edited row, a rewritten chain and a cut-off tail are each found."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from model_registry.catalogue import migrations
from model_registry.catalogue.audit import audit, read_head, write_head
from model_registry.catalogue.chain import GENESIS, Head
from model_registry.catalogue.database import open_database
from model_registry.catalogue.model import Verb
from model_registry.catalogue.schema import metadata
from model_registry.catalogue.store import Catalogue
from model_registry.digests import of_bytes
from model_registry.errors import RegistryError, RegistryRefused


@pytest.fixture
def lived(catalogue: Catalogue) -> Catalogue:
    """A catalogue in which something happened."""
    for version in ("1", "2", "3"):
        catalogue.register("chat", version, of_bytes(version.encode()))
    for version in ("1", "1", "2"):
        catalogue.carry_out(catalogue.plan("chat", version, Verb.PROMOTE), why="because")
    return catalogue


@contextmanager
def tampering(catalogue: Catalogue) -> Iterator[sqlite3.Connection]:
    """Open the file as somebody with a shell would, past the triggers."""
    connection = sqlite3.connect(catalogue.path)
    connection.execute("DROP TRIGGER IF EXISTS events_stay")
    connection.execute("DROP TRIGGER IF EXISTS events_remain")
    yield connection
    connection.commit()
    connection.close()


def codes(catalogue: Catalogue, head: Head | None = None) -> list[str]:
    return [finding.code for finding in audit(catalogue, head)]


def rewrite(catalogue: Catalogue, seq: int, **fields: str) -> None:
    """Change one event and make all hashes after it right again."""
    previous, events = GENESIS, []
    for event in catalogue.events():
        changed = replace(event, previous=previous, **(fields if event.seq == seq else {}))
        changed = replace(changed, hash=changed.expected_hash())
        previous = changed.hash
        events.append(changed)
    with tampering(catalogue) as connection:
        for event in events:
            connection.execute(
                "UPDATE events SET who=:who, why=:why, kind=:kind, body=:text, "
                "previous=:previous, hash=:hash WHERE seq=:seq",
                asdict(event),
            )


def test_an_honest_catalogue_holds_also_against_each_earlier_head(lived: Catalogue) -> None:
    assert codes(lived) == []
    for event in lived.events():
        assert codes(lived, Head(event.seq, event.hash)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE versions SET stage='retired' WHERE version='1'",
        "UPDATE versions SET digest='sha256:00' WHERE version='3'",
        "UPDATE versions SET unsafe='a.pkl' WHERE version='3'",
        "DELETE FROM versions WHERE version='2'",
        "INSERT INTO versions VALUES ('chat','4','sha256:00','candidate',1,'','now')",
    ],
)
def test_an_edited_row_is_found(lived: Catalogue, statement: str) -> None:
    with tampering(lived) as connection:
        connection.execute(statement)
    assert codes(lived) == ["CATALOGUE_ROW_EDITED"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET who='nobody' WHERE seq=4",
        "UPDATE events SET at='2020-01-01T00:00:00.000Z' WHERE seq=5",
        "UPDATE events SET body='{}' WHERE seq=6",
        "DELETE FROM events WHERE seq=2",
        "DELETE FROM events WHERE seq=1",
    ],
)
def test_an_edited_event_is_found(lived: Catalogue, statement: str) -> None:
    with tampering(lived) as connection:
        connection.execute(statement)
    assert codes(lived) == ["CHAIN_BROKEN"]


def test_a_chain_rewritten_with_all_that_follows_needs_the_exported_head(
    lived: Catalogue,
) -> None:
    head = lived.head()
    rewrite(lived, 4, who="somebody else")
    assert codes(lived) == []
    assert codes(lived, head) == ["CHAIN_REWRITTEN"]


def test_a_cut_off_tail_needs_the_exported_head_when_the_rows_were_cut_too(
    lived: Catalogue,
) -> None:
    head = lived.head()
    with tampering(lived) as connection:
        connection.execute("DELETE FROM events WHERE seq=6")
    assert codes(lived) == ["CATALOGUE_ROW_EDITED"]
    with tampering(lived) as connection:
        connection.execute("UPDATE versions SET stage='candidate' WHERE version='2'")
    assert codes(lived) == []
    assert codes(lived, head) == ["CHAIN_CUT"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "bless"}, "EVENT_UNKNOWN"),
        ({"text": "{}"}, "EVENT_INVALID"),
        ({"text": '{"name":"chat","verb":"promote","moves":[7]}'}, "EVENT_INVALID"),
    ],
)
def test_an_event_that_means_nothing_is_a_finding(
    lived: Catalogue, fields: dict[str, str], code: str
) -> None:
    """In a chain that was rewritten with all its hashes, or by a release to come."""
    rewrite(lived, 5, **fields)
    assert codes(lived) == [code]


def test_a_head_is_replaced_whole_with_its_signature(
    lived: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, path = lived.head(), tmp_path / "head.json"
    assert head is not None
    write_head(head, path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RegistryError, match="DISK_FULL"):
        write_head(Head(1, GENESIS), path)
    assert path.read_bytes() == before
    assert list(tmp_path.glob(".part-*")) == []


@pytest.mark.parametrize("statement", ["UPDATE events SET who='x'", "DELETE FROM events"])
def test_the_file_itself_defends_its_events_against_slips(
    lived: Catalogue, statement: str
) -> None:
    connection = sqlite3.connect(lived.path)
    with pytest.raises(sqlite3.IntegrityError, match="events are never"):
        connection.execute(statement)
    connection.close()


def test_a_head_survives_its_file(lived: Catalogue, tmp_path: Path) -> None:
    head = lived.head()
    assert head is not None
    write_head(head, tmp_path / "head.json")
    assert read_head(tmp_path / "head.json") == head
    (tmp_path / "head.json").write_text("{}")
    with pytest.raises(RegistryRefused, match="HEAD_INVALID"):
        read_head(tmp_path / "head.json")


def test_the_migrations_make_the_tables_that_queries_know(tmp_path: Path) -> None:
    seen = inspect(open_database(tmp_path / "catalogue.db"))
    for table in metadata.tables.values():
        columns = {c["name"]: bool(c["nullable"]) for c in seen.get_columns(table.name)}
        wanted = {c.name: bool(c.nullable) for c in table.columns}
        assert columns.keys() == wanted.keys()
        keys = seen.get_pk_constraint(table.name)["constrained_columns"]
        assert keys == table.primary_key.columns.keys()
    assert [s.number for s in migrations.STEPS] == list(range(1, len(migrations.STEPS) + 1))


def test_an_older_form_is_brought_up_and_a_newer_one_left_alone(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'catalogue.db'}")
    with engine.begin() as connection:
        migrations.migrate(connection, migrations.STEPS[:1])
    opened = Catalogue(tmp_path / "catalogue.db", who="ada")
    opened.register("chat", "1", of_bytes(b"one"))
    assert audit(opened) == ()
    newer = migrations.Migration(99, "from the future", ())
    with engine.begin() as connection:
        migrations.migrate(connection, (*migrations.STEPS, newer))
    with pytest.raises(RegistryRefused, match="CATALOGUE_NEWER"):
        Catalogue(tmp_path / "catalogue.db", who="ada")


def test_what_is_no_catalogue_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_text("not a database, but long enough to be seen as one" * 9)
    with pytest.raises(RegistryError, match="CATALOGUE_UNUSABLE"):
        Catalogue(tmp_path / "catalogue.db", who="ada")


def test_a_catalogue_that_breaks_is_one_clear_error(lived: Catalogue) -> None:
    with tampering(lived) as connection:
        connection.execute("DROP TABLE versions")
    with pytest.raises(RegistryError, match="CATALOGUE_UNUSABLE"):
        lived.register("chat", "4", of_bytes(b"4"))
