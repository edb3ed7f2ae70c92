"""The record of faults: what was applied and healed, and when. Append only."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was applied; ``undo`` is what healing needs to know."""

    id: str
    kind: str
    target: str
    options: dict[str, str] = field(default_factory=dict)
    undo: dict[str, str] = field(default_factory=dict)
    applied_at: str = ""


def now() -> str:
    """Return the time as RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """``faults.jsonl`` of an instance."""

    path: Path

    def begin(
        self,
        kind: str,
        target: str,
        options: Mapping[str, str],
        undo: Mapping[str, str],
    ) -> Fault:
        """Write down a fault before it is applied, so that it can be healed whatever happens."""
        fault = Fault(f"f-{secrets.token_hex(3)}", kind, target, dict(options), dict(undo), now())
        self._append(
            {
                "event": "apply",
                "id": fault.id,
                "at": fault.applied_at,
                "kind": kind,
                "target": target,
                "options": fault.options,
                "undo": fault.undo,
            }
        )
        return fault

    def note(self, event: str, fault_id: str) -> None:
        """Write down what became of a fault: ``applied``, ``healed``."""
        self._append({"event": event, "id": fault_id, "at": now()})

    def remark(self, text: str) -> None:
        """Write down something else that happened."""
        self._append({"event": "note", "id": "", "at": now(), "text": text})

    def _append(self, entry: dict[str, object]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"schema": 1, **entry}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def active(self) -> list[Fault]:
        """Return the faults that nobody healed, oldest first."""
        if not self.path.exists():
            return []
        found: dict[str, Fault] = {}
        for line in self.path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line of a writer that was killed
            if entry["event"] == "apply":
                found[entry["id"]] = Fault(
                    entry["id"],
                    entry["kind"],
                    entry["target"],
                    entry["options"],
                    entry["undo"],
                    entry["at"],
                )
            elif entry["event"] == "healed":
                found.pop(entry["id"], None)
        return list(found.values())
