"""Tables of the control plane's database."""

from __future__ import annotations

META = "meta"
"""The table that says which form the database has, and what is kept under a name."""

TABLES = (
    f"""CREATE TABLE IF NOT EXISTS {META} (
        key TEXT NOT NULL PRIMARY KEY,
        value TEXT)""",
    """CREATE TABLE IF NOT EXISTS placement (
        node TEXT NOT NULL PRIMARY KEY,
        host TEXT NOT NULL,
        host_moid TEXT NOT NULL,
        gpus TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS replicas (
        node TEXT NOT NULL PRIMARY KEY,
        state TEXT NOT NULL,
        owner TEXT NOT NULL,
        reason TEXT NOT NULL,
        at TEXT NOT NULL,
        holder TEXT NOT NULL DEFAULT '',
        deadline TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE IF NOT EXISTS clients (
        digest TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        added_at TEXT NOT NULL,
        expires INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS ix_clients_name ON clients (name)",
    """CREATE TABLE IF NOT EXISTS converged (
        node TEXT NOT NULL PRIMARY KEY,
        vm TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        at TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS operations (
        id TEXT NOT NULL PRIMARY KEY,
        command TEXT NOT NULL,
        owner TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        holder TEXT NOT NULL,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        outcome TEXT,
        detail TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS journal (
        seq INTEGER NOT NULL PRIMARY KEY,
        operation TEXT NOT NULL,
        step TEXT NOT NULL,
        kind TEXT NOT NULL,
        target TEXT NOT NULL,
        phase TEXT NOT NULL,
        at TEXT NOT NULL,
        detail TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS ix_journal_operation ON journal (operation)",
    """CREATE TABLE IF NOT EXISTS site_lock (
        id INTEGER NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        token TEXT NOT NULL,
        holder TEXT NOT NULL,
        acquired_at TEXT NOT NULL,
        expires_at TEXT NOT NULL)""",
    # Operations that the executor runs: their plan, how far they are, what a person wished.
    """CREATE TABLE IF NOT EXISTS runs (
        operation TEXT NOT NULL PRIMARY KEY,
        target TEXT NOT NULL,
        "plan" TEXT NOT NULL,
        back TEXT NOT NULL,
        state TEXT NOT NULL,
        wish TEXT NOT NULL,
        step TEXT NOT NULL,
        error TEXT NOT NULL,
        receipt TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS maintenance (
        host TEXT NOT NULL PRIMARY KEY,
        record TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS receipts (
        number INTEGER NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        digest TEXT NOT NULL)""",
)
"""What makes each table and index, where there is none."""
