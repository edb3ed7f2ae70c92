"""What was production at a moment, and what was done to a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_registry.catalogue.chain import Event
from model_registry.catalogue.model import Stage


@dataclass(frozen=True, slots=True)
class Held:
    """Which version held a stage, since when, by whose decision and why."""

    version: str
    digest: str
    since: str
    who: str
    why: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {
            "version": self.version,
            "digest": self.digest,
            "since": self.since,
            "who": self.who,
            "why": self.why,
        }


def of_name(events: Sequence[Event], name: str) -> tuple[Event, ...]:
    """Return what was done to the versions of a name."""
    return tuple(
        e
        for e in events
        if e.body.get("name") == name or any(v[0] == name for v in e.body.get("versions", []))
    )


def held_at(events: Sequence[Event], name: str, stage: Stage, at: str) -> Held | None:
    """Return what held a stage at a moment (a time in the catalogue's form); None: nothing did."""
    found: Held | None = None
    for event in of_name(events, name):
        if event.at > at:
            break
        if event.kind != "stage":
            continue
        for move in event.body["moves"]:
            if move["to"] == stage:
                found = Held(move["version"], move["digest"], event.at, event.who, event.why)
            elif found is not None and move["version"] == found.version:
                found = None
    return found
