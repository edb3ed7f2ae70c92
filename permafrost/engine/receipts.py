"""Receipts: one signed JSON file an operation, each naming its predecessor's digest.

The head of the chain stands in the database, so that an edited file, a chain that was written
anew from some point, and one whose end was cut off are all found. Who can write files and database
both still cannot sign; and where both were cut off, whoever kept a later receipt's digest sees it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permafrost.engine.database import Database, insert
from permafrost.errors import Problem
from permafrost.pki.files import write_whole

if TYPE_CHECKING:
    from permafrost.engine.receipt_key import Verifier

FIRST = "sha256:" + "0" * 64
CHAINED = re.compile(r"\d{6}-.*\.json")
FROM_BACKUP = "compare with a backup of the receipts, and ask who may write to the state folder"
STATE_CHANGED = "the state store was edited: compare with a backup of it"


class ReceiptChain:
    """The receipts of one site."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    @staticmethod
    def get_ready() -> None:
        """Import what signs: whoever will write a receipt may do that while others are waited for.

        Opening the site does without it: it takes as long to import as the site file's model.
        """
        from permafrost.engine import receipt_key  # noqa: F401

    def append(self, command: str, document: Mapping[str, Any]) -> Path:
        """Write the next receipt whole; it is on disk when this returns."""
        from permafrost.engine.receipt_key import Signer

        self._folder.mkdir(mode=0o700, exist_ok=True)
        latest = "SELECT number, digest FROM receipts ORDER BY number DESC LIMIT 1"
        with self._database.begin() as connection:
            last = connection.execute(latest).fetchone()
            number = last["number"] + 1 if last else 1
            for stray in self._files(since=number):  # of a run that was killed right here
                stray.unlink()
            signer = Signer.of(self._folder.parent, self._folder)
            chained = {
                "number": number,
                "previous": last["digest"] if last else FIRST,
                "signer": signer.public.name,
            }
            content = json.dumps({**document, **chained}, indent=2).encode() + b"\n"
            name = f"{number:06}-{command.replace(' ', '-')}.json"
            path = self._folder / name
            signature = signer.sign(content).encode() + b"\n"
            write_whole(signature_of(path), signature, mode=0o600)
            write_whole(path, content, mode=0o600)
            insert(connection, "receipts", number=number, name=name, digest=_digest(path))
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

    def verify(self, key: Path | None = None, kept: str = "") -> tuple[int, tuple[Problem, ...]]:
        """Return how many receipts there are, and everything that is wrong with them.

        ``key``: the public key that an auditor has, instead of the one that lies beside the
        receipts; then each must be signed. ``kept``: a digest that must be among them.
        """
        with self._database.begin() as connection:
            rows = connection.execute("SELECT * FROM receipts ORDER BY number").fetchall()
        problems: list[Problem] = []
        signer = self._verifier(key, problems) if rows else None
        previous, is_signed = FIRST, key is not None
        for expected, row in enumerate(rows, start=1):
            path = self._folder / row["name"]
            problem = _wrong(path, row["number"], expected, row["digest"], previous)
            is_signed = is_signed or signature_of(path).exists()
            if problem is None and is_signed and signer is not None:
                problem = _unsigned(path, signer)
            if problem is not None:
                problems.append(problem)
            previous = row["digest"]
        if kept and kept not in {row["digest"] for row in rows}:
            problems.append(
                Problem(
                    "RECEIPT_TRUNCATED",
                    f"no receipt has the digest {kept}, and one had it",
                    hint="the chain was cut off or written anew, files and database both",
                )
            )
        known = {row["name"] for row in rows}
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

    def head(self) -> str:
        """Return the digest of the latest receipt, for whoever keeps it; empty without any."""
        query = "SELECT digest FROM receipts ORDER BY number DESC LIMIT 1"
        with self._database.begin() as connection:
            row = connection.execute(query).fetchone()
        return str(row["digest"]) if row else ""

    def _verifier(self, key: Path | None, problems: list[Problem]) -> Verifier | None:
        from permafrost.engine.receipt_key import PRIVATE, PUBLIC, Signer, Verifier

        if key is not None:
            return Verifier.of(key)
        if (self._folder.parent / PRIVATE).exists():
            return Signer.of(self._folder.parent, self._folder).public
        if any(signature_of(path).exists() for path in self._files()):
            problems.append(
                Problem(
                    "RECEIPT_KEY_MISSING",
                    "receipts are signed and the site's own key is gone",
                    PRIVATE,
                    f"verify with the copy of {PUBLIC} that was kept: --key",
                )
            )
        return None

    def _files(self, since: int = 0) -> list[Path]:
        return sorted(
            path
            for path in self._folder.glob("*.json")
            if CHAINED.fullmatch(path.name) and int(path.name[:6]) >= since
        )


def _wrong(path: Path, number: int, expected: int, digest: str, previous: str) -> Problem | None:
    if number != expected:
        said = f"number {expected} is not recorded"
        return Problem("RECEIPT_CHAIN_BROKEN", said, path.name, STATE_CHANGED)
    if not path.exists():
        said = "it was written and is not there any more"
        return Problem("RECEIPT_MISSING", said, path.name, FROM_BACKUP)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    if document.get("previous") != previous or document.get("number") != number:
        said = f"does not follow receipt {number - 1} of this site"
        return Problem("RECEIPT_CHAIN_BROKEN", said, path.name, FROM_BACKUP)
    if _digest(path) != digest:
        said = "its content is not what was written"
        return Problem("RECEIPT_CHANGED", said, path.name, FROM_BACKUP)
    return None


def signature_of(path: Path) -> Path:
    """Return where a receipt's signature lies."""
    return path.with_suffix(".sig")


def _unsigned(path: Path, signer: Verifier) -> Problem | None:
    try:
        signature = signature_of(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        said = "its signature is gone, or it never had one"
        return Problem("RECEIPT_UNSIGNED", said, path.name, FROM_BACKUP)
    content = path.read_bytes()
    named = json.loads(content).get("signer")
    if named != signer.name:
        said = f"signed by {named}, not by {signer.name}"
        return Problem("RECEIPT_OTHER_SIGNER", said, path.name, "--key names who is believed")
    if not signer.has_signed(content, signature):
        said = f"{signer.name} has not signed it"
        return Problem("RECEIPT_SIGNATURE_WRONG", said, path.name, FROM_BACKUP)
    return None


def _digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
