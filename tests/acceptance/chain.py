"""The chain of receipts as an auditor sees it: files in the state folder, and `receipt verify`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.driver import Cli

Told = dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """A site's receipts. ``folder``: where they lie."""

    permafrost: Cli
    folder: Path

    def files(self) -> list[Path]:
        """Return the receipts, the oldest first."""
        return sorted(self.folder.glob("[0-9]*.json"))

    def since(self, before: list[Path]) -> list[Told]:
        """Return what was written since ``files`` was asked for."""
        return [json.loads(p.read_text(encoding="utf-8")) for p in self.files() if p not in before]

    def told(self, path: str) -> Told:
        """Return a receipt that a command named: the latest, whole, in a chain that holds."""
        (*_, latest) = self.files()
        assert Path(path) == latest, (path, latest)
        assert self.problems() == []
        receipt: Told = json.loads(latest.read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["environment"]) == ("done", "lab")
        known = self.permafrost.json("history", "--limit", "5")["operations"]
        named = {run["receipt"]: run["operation"] for run in known}
        assert named[path] == receipt["operation"]
        return receipt

    def problems(self) -> list[str]:
        """Return the codes of what `receipt verify` finds; exit 4 with any, 0 without."""
        done = self.permafrost.run("receipt", "verify", "--output", "json", expect=None)
        document, _ = json.JSONDecoder().raw_decode(done.stdout)
        found = [str(p["code"]) for p in document["problems"]]
        assert done.returncode == (4 if found else 0), done.stderr
        return found

    def require_finds(self, path: str, was: str, edit: str) -> None:
        """The control: fail where an edit of a receipt is not found. It is taken back."""
        with edited(Path(path), was, edit):
            assert "RECEIPT_CHANGED" in self.problems()
        assert self.problems() == []

    def require_absent(self, secret: str) -> None:
        """Fail where a secret is in a receipt, or in what `show` tells of an operation."""
        assert len(secret) > 8, "too short to be looked for"
        for path in self.files():
            told = json.loads(path.read_text(encoding="utf-8"))
            assert secret not in json.dumps(told), path
        for run in self.permafrost.json("history", "--limit", "3")["operations"]:
            assert secret not in json.dumps(self.permafrost.json("show", run["operation"]))


@contextmanager
def edited(path: Path, was: str, edit: str) -> Iterator[None]:
    """Change one place of a file for a block, as somebody would who hides something."""
    before = path.read_bytes()
    changed = before.replace(was.encode(), edit.encode(), 1)
    assert changed != before, f"{was} is not in {path}"
    try:
        path.write_bytes(changed)
        yield
    finally:
        path.write_bytes(before)


def parts(receipt: Told) -> list[str]:
    """Return the commands that a receipt tells as its parts."""
    return [str(p["command"]) for p in receipt["parts"]]
