"""Receipts: one JSON file an operation, each naming its predecessor's digest.

The head of the chain stands in the database, so that an edited file, a chain that was written
anew from some point, and one whose end was cut off are all found.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select

from permafrost.engine import schema
from permafrost.errors import Problem

FIRST = "sha256:" + "0" * 64
CHAINED = re.compile(r"\d{6}-.*\.json")


class ReceiptChain:
    """The receipts of one site."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder

    def append(self, command: str, document: Mapping[str, Any]) -> Path:
        """Write the next receipt whole; it is on disk when this returns."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        table = schema.receipts
        with self._engine.begin() as connection:
            last = connection.execute(select(table).order_by(table.c.number.desc())).first()
            number = last.number + 1 if last else 1
            for stray in self._files(since=number):  # of a run that was killed right here
                stray.unlink()
            previous = last.digest if last else FIRST
            text = json.dumps({**document, "number": number, "previous": previous}, indent=2)
            name = f"{number:06}-{command.replace(' ', '-')}.json"
            path = self._folder / name
            partial = path.with_suffix(".partial")
            with partial.open("w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            connection.execute(
                insert(table).values(number=number, name=name, digest=_digest(path))
            )
        return path

    def documents(self) -> tuple[dict[str, Any], ...]:
        """Return all receipts, the oldest first; whether they hold is for ``verify`` to say."""
        found = []
        for path in self._files():
            try:
                document = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            if isinstance(document, dict):
                found.append(document)
        return tuple(found)

    def verify(self) -> tuple[int, tuple[Problem, ...]]:
        """Return how many receipts there are, and everything that is wrong with them."""
        table = schema.receipts
        with self._engine.begin() as connection:
            rows = connection.execute(select(table).order_by(table.c.number)).all()
        problems: list[Problem] = []
        previous = FIRST
        for expected, row in enumerate(rows, start=1):
            path = self._folder / row.name
            problem = _wrong(path, row.number, expected, row.digest, previous)
            if problem is not None:
                problems.append(problem)
            previous = row.digest
        known = {row.name for row in rows}
        problems += [
            Problem(
                "RECEIPT_UNCHAINED",
                "no operation that ended wrote it",
                path.name,
                "one of a run that was killed is replaced by the next receipt",
            )
            for path in self._files()
            if path.name not in known
        ]
        return len(rows), tuple(problems)

    def _files(self, since: int = 0) -> list[Path]:
        return sorted(
            path
            for path in self._folder.glob("*.json")
            if CHAINED.fullmatch(path.name) and int(path.name[:6]) >= since
        )


def _wrong(path: Path, number: int, expected: int, digest: str, previous: str) -> Problem | None:
    if number != expected:
        return Problem("RECEIPT_CHAIN_BROKEN", f"number {expected} is not recorded", path.name)
    if not path.exists():
        return Problem("RECEIPT_MISSING", "it was written and is not there any more", path.name)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        document = {}
    if document.get("previous") != previous or document.get("number") != number:
        return Problem(
            "RECEIPT_CHAIN_BROKEN", f"does not follow receipt {number - 1} of this site", path.name
        )
    if _digest(path) != digest:
        return Problem("RECEIPT_CHANGED", "its content is not what was written", path.name)
    return None


def _digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
