"""What a status is made of: replicas, endpoints, edges, the site's registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from permafrost.planning.lifecycle import Declared, ReplicaState
from permafrost.planning.release import Release

POWER = {True: "ON", False: "OFF", None: "UNKNOWN"}
"""How a VM's power is told; None while vCenter does not answer."""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica."""

    name: str
    state: ReplicaState
    host: str | None
    gpus: tuple[str, ...]
    checkpoint: str | None
    in_flight: int
    reason: str = ""
    declared: Declared | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "state": self.state.value,
            "host": self.host,
            "gpu": ", ".join(self.gpus) or None,
            "checkpoint": self.checkpoint,
            "in_flight": self.in_flight,
            "reason": self.reason,
            "declared": _declared_dict(self.declared),
        }


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One endpoint. ``address`` is where clients go."""

    name: str
    address: str
    live_checkpoint: str | None
    min_ready: int
    replicas: tuple[ReplicaStatus, ...]
    release: Release | None = None

    @property
    def ready(self) -> int:
        """How many replicas serve."""
        return sum(r.state is ReplicaState.ADMITTED for r in self.replicas)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "address": self.address,
            "live_checkpoint": self.live_checkpoint,
            "min_ready": self.min_ready,
            "ready": self.ready,
            "slot": self.release.live if self.release else None,
            "kept": _kept(self.release),
            "replicas": [r.as_dict() for r in self.replicas],
        }


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """One edge."""

    name: str
    address: str
    host: str | None
    is_up: bool
    reason: str = ""
    holds_vip: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "address": self.address,
            "host": self.host,
            "state": "UP" if self.is_up else "DOWN",
            "reason": self.reason,
            "holds_vip": self.holds_vip,
        }


@dataclass(frozen=True, slots=True)
class RegistryStatus:
    """The VM that is the site's registry. ``silent``: why it does not answer; empty: it does.

    ``is_on``: None while vCenter does not answer.
    """

    name: str
    address: str
    host: str | None
    is_on: bool | None
    silent: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "address": self.address,
            "host": self.host,
            "power": POWER[self.is_on],
            "state": "DOWN" if self.silent else "UP",
            "reason": self.silent,
        }


def _kept(release: Release | None) -> dict[str, str] | None:
    """Return what the other slot holds: the way back, or what is being brought in."""
    if release is None or not release.kept:
        return None
    return {"slot": release.spare, "checkpoint": release.kept}


def _declared_dict(declared: Declared | None) -> dict[str, str] | None:
    if declared is None:
        return None
    return {
        "state": declared.state.value,
        "owner": declared.owner,
        "reason": declared.reason,
        "since": declared.at,
        "deadline": declared.deadline,
    }
