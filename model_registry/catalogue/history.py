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


def happened(events: Sequence[Event]) -> tuple[str, ...]:
    """Return when each event can have happened at the latest: no later than any after it.

    That is its own time, but for one whose writer's clock was ahead.
    """
    found: list[str] = []
    latest = ""
    for event in reversed(events):
        latest = min(latest, event.at) if latest else event.at
        found.append(latest)
    return tuple(reversed(found))


def held_at(events: Sequence[Event], name: str, stage: Stage, at: str) -> Held | None:
    """Return what held a stage at a moment (a time in the catalogue's form); None: nothing did."""
    found: Held | None = None
    times = dict(zip((e.seq for e in events), happened(events), strict=True))
    for event in of_name(events, name):
        if times[event.seq] > at:
            break
        if event.kind != "stage":
            continue
        for move in event.body["moves"]:
            if move["to"] == stage:
                since = times[event.seq]
                found = Held(move["version"], move["digest"], since, event.who, event.why)
            elif found is not None and move["version"] == found.version:
                found = None
    return found


def approved_at(events: Sequence[Event], name: str, digest: str, at: str) -> Held | None:
    """Return the decision by which bytes were last made production, no later than a moment."""
    found: Held | None = None
    times = dict(zip((e.seq for e in events), happened(events), strict=True))
    for event in of_name(events, name):
        if event.kind != "stage" or times[event.seq] > at:
            continue
        for move in event.body["moves"]:
            if (move["digest"], move["to"]) == (digest, Stage.PRODUCTION):
                since = times[event.seq]
                found = Held(move["version"], digest, since, event.who, event.why)
    return found
