"""The states of a replica: those that we declare, and those that a person is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

OPERATOR = "operator"


class DeclaredState(StrEnum):
    """What we decided about a replica; it outlives every process."""

    ADMITTED = "ADMITTED"
    DRAINING = "DRAINING"
    DRAINED = "DRAINED"
    OUT = "OUT"


@dataclass(frozen=True, slots=True)
class Declared:
    """A replica's declared state, who decided it, why and when; ``holder`` is the process.

    ``deadline``: until when what is in flight may end by itself; then a person chooses.
    """

    node: str
    state: DeclaredState
    owner: str
    reason: str = ""
    at: str = ""
    holder: str = ""
    deadline: str = ""

    @property
    def is_away(self) -> bool:
        """Whether it is kept out of rotation by our doing."""
        return self.state in (DeclaredState.DRAINING, DeclaredState.DRAINED)

    @property
    def is_automatic(self) -> bool:
        """Whether a program decided, which brings the replica back by itself."""
        return is_automatic(self.owner)

    def __str__(self) -> str:
        reason = f", {self.reason}" if self.reason else ""
        until = f", deadline {self.deadline}" if self.deadline else ""
        return f"{self.node} is {self.state.value} by {self.owner} since {self.at}{until}{reason}"


def is_automatic(owner: str) -> bool:
    """Whether an owner is a program; a person is ``operator:<name>``."""
    return owner.partition(":")[0] != OPERATOR


class MaintenanceState(StrEnum):
    """How far a host's maintenance has come."""

    ENTERING = "ENTERING"
    IN = "IN"
    EXITING = "EXITING"


@dataclass(frozen=True, slots=True)
class MaintenanceRecord:
    """A host that is away by our doing; ``name`` is what was asked for: the host or its rack.

    ``replicas`` were taken away for it and come back with it; ``moved`` are VMs that were moved
    to another host meanwhile; ``powered`` are VMs that ran before.
    """

    host: str
    name: str
    state: MaintenanceState
    operation: str
    owner: str
    at: str
    replicas: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    powered: tuple[str, ...] = ()


class ReplicaState(StrEnum):
    """What a replica is, all things seen together."""

    STARTING = "STARTING"
    ADMITTED = "ADMITTED"
    DRAINING = "DRAINING"
    DRAINED = "DRAINED"
    OUT = "OUT"
    LOST = "LOST"
