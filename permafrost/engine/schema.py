"""Tables of the control plane's database."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table, Text

metadata = MetaData()

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text))

placement = Table(
    "placement",
    metadata,
    Column("node", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("host_moid", Text, nullable=False),
    Column("gpus", Text, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("node", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("holder", Text, nullable=False, server_default=""),
    Column("deadline", Text, nullable=False, server_default=""),
)

clients = Table(
    "clients",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("added_at", Text, nullable=False),
    Column("expires", Integer, nullable=False),
)

converged = Table(
    "converged",
    metadata,
    Column("node", Text, primary_key=True),
    Column("vm", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("at", Text, nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("command", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("outcome", Text),
    Column("detail", Text, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("operation", Text, nullable=False, index=True),
    Column("step", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

site_lock = Table(
    "site_lock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("acquired_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("operation", Text, primary_key=True),
    Column("target", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("back", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("wish", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("receipt", Text, nullable=False),
)
"""Operations that the executor runs: their plan, how far they are, what a person wished."""

maintenance = Table(
    "maintenance",
    metadata,
    Column("host", Text, primary_key=True),
    Column("record", Text, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
)
