"""The answer to whether something may be stopped, with its evidence, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permafrost.errors import Problem


class Kind(StrEnum):
    """What is asked about."""

    REPLICA = "replica"
    VM = "vm"
    HOST = "host"
    RACK = "rack"


@dataclass(frozen=True, slots=True)
class EndpointLeft:
    """One endpoint as it would be. ``places_left``: requests that the rest take at once.

    ``each_would_have``: what is in flight now, spread evenly over the rest; ``each_has_had``: the
    most that one of them was seen with at one time by one edge, so that what a site file promises
    is told apart from what was measured.
    """

    name: str
    stops: tuple[str, ...]
    serves: tuple[str, ...]
    min_ready: int
    in_flight: int
    places_left: int
    each_would_have: int = 0
    each_has_had: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "endpoint": self.name,
            "stops": list(self.stops),
            "serves": list(self.serves),
            "min_ready": self.min_ready,
            "in_flight": self.in_flight,
            "places_left": self.places_left,
            "each_would_have": self.each_would_have,
            "each_has_had": self.each_has_had,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer with its evidence. ``movable`` are VMs on a host that vCenter may move."""

    kind: Kind
    name: str
    hosts: tuple[str, ...]
    stops: tuple[str, ...]
    others: tuple[str, ...]
    movable: tuple[str, ...]
    endpoints: tuple[EndpointLeft, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "kind": self.kind.value,
            "name": self.name,
            "ok": self.is_ok,
            "hosts": list(self.hosts),
            "stops": list(self.stops),
            "others": list(self.others),
            "movable": list(self.movable),
            "endpoints": [e.as_dict() for e in self.endpoints],
            "problems": [p.as_dict() for p in self.problems],
            "notes": list(self.notes),
        }
