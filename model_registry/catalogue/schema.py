"""The catalogue's tables as queries see them; `migrations` makes them."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table, Text

metadata = MetaData()

migrations = Table(
    "migrations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("present", Integer, nullable=False),
    Column("unsafe", Text, nullable=False),
    Column("added_at", Text, nullable=False),
)

lineage = Table(
    "lineage",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("document", Text, nullable=False),
)

pins = Table(
    "pins",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("reference", Text, primary_key=True),
    Column("digest", Text, nullable=False),
)
