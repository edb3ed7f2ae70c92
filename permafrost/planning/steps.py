"""What an operation will do, as values: numbered steps, and the digest of what they rest on.

Invariant: a plan is executed only while planning again, from what is seen then, gives the same
digest; so nobody confirms one thing and gets another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class OperationStep:
    """One thing that is done to one target; ``deadline_s`` bounds it."""

    id: str
    kind: str
    target: str
    deadline_s: float
    detail: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for the journal and for JSON."""
        return {
            "id": self.id,
            "kind": self.kind,
            "target": self.target,
            "deadline_s": self.deadline_s,
            "detail": self.detail,
            "arguments": dict(self.arguments),
        }

    def __str__(self) -> str:
        return " ".join(p for p in (self.id, "", self.kind, self.target, self.detail) if p != "")


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """Steps of one command on one target. ``basis`` is what it was decided from.

    ``facts`` is kept with the operation: what abort needs to know of the state before.
    """

    command: str
    target: str
    steps: tuple[OperationStep, ...]
    basis: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The command line, as people read it in the history."""
        return f"{self.command} {self.target}"

    @property
    def fingerprint(self) -> str:
        """A digest of the steps and of what they were decided from."""
        text = json.dumps(
            [self.command, self.target, [s.as_dict() for s in self.steps], self.basis],
            sort_keys=True,
        )
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "command": self.command,
            "target": self.target,
            "fingerprint": self.fingerprint,
            "steps": [s.as_dict() for s in self.steps],
            "facts": dict(self.facts),
            "notes": list(self.notes),
        }


def plan_of(values: Mapping[str, Any]) -> OperationPlan:
    """Return the plan that ``as_dict`` wrote; its basis is over and not kept."""
    return OperationPlan(
        str(values["command"]),
        str(values["target"]),
        tuple(
            OperationStep(
                str(s["id"]),
                str(s["kind"]),
                str(s["target"]),
                float(s["deadline_s"]),
                str(s["detail"]),
                {str(k): str(v) for k, v in s["arguments"].items()},
            )
            for s in values["steps"]
        ),
        facts=dict(values["facts"]),
        notes=tuple(values["notes"]),
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """A step before it has its number."""

    kind: str
    target: str
    deadline_s: float
    detail: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


def numbered(drafts: Iterable[Draft], *, first: int = 1) -> tuple[OperationStep, ...]:
    """Return the steps with their numbers, two digits at least."""
    return tuple(
        OperationStep(f"{i:02}", d.kind, d.target, d.deadline_s, d.detail, d.arguments)
        for i, d in enumerate(drafts, start=first)
    )
