"""What Pulumi says it does, as data: engine events to changes, lines of progress and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NO_CHANGE = frozenset({"same", "read", "refresh"})
REPLACEMENT = frozenset({"replace", "create-replacement", "delete-replaced"})
BOOKKEEPING = ("pulumi:", "permafrost:")


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that Pulumi would touch, or has touched."""

    operation: str
    type: str
    name: str
    properties: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    old: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    new: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.operation} {self.type.rsplit(':', 1)[-1]} {self.name}"


@dataclass(slots=True)
class EventLog:
    """Reads engine events one after another and keeps what a caller asks about."""

    changes: list[Change] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        """Whether anything outside Pulumi's own books was touched, or tried."""
        return bool(self.summary())

    def summary(self) -> tuple[Change, ...]:
        """Return the changes, each resource once, without Pulumi's own books.

        A replacement comes as several events; the one that tells most of it is kept.
        """
        found: dict[Change, Change] = {}
        for change in self.changes:
            if not change.type.startswith(BOOKKEEPING):
                known = found.get(change)
                if known is None or len(change.properties) > len(known.properties):
                    found[change] = change
        return tuple(found.values())

    def feed(self, line: str) -> str | None:
        """Take one line of ``pulumi --json``; return a line of progress worth showing."""
        try:
            event = json.loads(line)
        except ValueError:
            return None
        if not isinstance(event, dict):
            return None
        if "resourcePreEvent" in event:
            return self._begun(event["resourcePreEvent"]["metadata"])
        if "resOutputsEvent" in event:
            return _progress("done", event["resOutputsEvent"]["metadata"])
        if "resOpFailedEvent" in event:
            return _progress("failed", event["resOpFailedEvent"]["metadata"])
        if "diagnosticEvent" in event:
            return self._diagnostic(event["diagnosticEvent"])
        return None

    def _begun(self, metadata: Mapping[str, Any]) -> str | None:
        if metadata["op"] not in NO_CHANGE:
            self.changes.append(_change(metadata))
        return _progress("begun", metadata)

    def _diagnostic(self, diagnostic: Mapping[str, Any]) -> str | None:
        severity, message = diagnostic.get("severity"), str(diagnostic.get("message", "")).strip()
        if severity == "error" and message:
            self.errors.append(message)
        return message if severity in ("info", "warning") and message else None


def _progress(what: str, metadata: Mapping[str, Any]) -> str | None:
    change = _change(metadata)
    if metadata["op"] in NO_CHANGE or change.type.startswith(BOOKKEEPING):
        return None
    return f"{change}: {what}"


def _change(metadata: Mapping[str, Any]) -> Change:
    operation = str(metadata["op"])
    old, new = metadata.get("old") or {}, metadata.get("new") or {}
    return Change(
        operation="replace" if operation in REPLACEMENT else operation,
        type=str(metadata["type"]),
        name=str(metadata["urn"]).rsplit("::", 1)[-1],
        properties={
            path: str(difference.get("kind", ""))
            for path, difference in (metadata.get("detailedDiff") or {}).items()
        },
        old={**(old.get("outputs") or {}), **(old.get("inputs") or {})},
        new=new.get("inputs") or {},
    )
