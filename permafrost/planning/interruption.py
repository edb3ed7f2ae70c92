"""What a deployment or a typed ``pulumi up`` left behind when it was killed, and what mends it.

Only what is certainly nobody's any more is removed: a lock whose process has ended on this very
machine, processes whose engine is gone, clones that were never finished. A lock of a living
process, or of another machine (whether that one lives cannot be asked from here), stays, and
whoever wants to go on is told whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from permafrost.errors import Held, Problem

UNFINISHED = (None, "CUT", "FAILED")
"""Outcomes of an operation that did not come to its end."""


@dataclass(frozen=True, slots=True)
class StackHold:
    """A lock on Pulumi's stack, and whether its process has certainly ended."""

    pid: int
    machine: str
    is_dead: bool


@dataclass(frozen=True, slots=True)
class Interruption:
    """Everything of an interrupted run that is still there. ``operation``: of ours, unfinished."""

    holds: tuple[StackHold, ...] = ()
    processes: int = 0
    pending: tuple[str, ...] = ()
    half_made: tuple[str, ...] = ()
    operation: str = ""

    @property
    def is_none(self) -> bool:
        """Whether nothing was interrupted."""
        return not (self.repairs or self.operation)

    @property
    def repairs(self) -> tuple[tuple[str, str, str], ...]:
        """What is to be put right before anything is deployed: (kind, target, detail)."""
        found = [
            ("remove-lock", f"process {hold.pid}", "it has ended, its lock on the stack stayed")
            for hold in self.holds
            if hold.is_dead
        ]
        if self.processes:
            text = "left behind by a pulumi that has ended"
            found.append(("end-processes", str(self.processes), text))
        found += [
            ("remove-half-made", name, "a clone that Pulumi lost") for name in self.half_made
        ]
        found += [
            ("clear-pending", what, "begun, its end was never seen") for what in self.pending
        ]
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "operation": self.operation or None,
            "repairs": [
                {"kind": kind, "target": target, "detail": detail}
                for kind, target, detail in self.repairs
            ],
        }


def require_ours(found: Interruption) -> None:
    """Raise Held when somebody has the stack who lives, or of whom that cannot be known."""
    foreign = [hold for hold in found.holds if not hold.is_dead]
    if foreign:
        raise Held(
            *(
                Problem(
                    "PULUMI_STACK_LOCKED",
                    f"process {hold.pid} on {hold.machine} has locked the stack; "
                    "it works, or cannot be asked from here",
                    hint="wait until it has ended; a lock of another machine that is gone for "
                    "good is removed by `pulumi cancel`",
                )
                for hold in foreign
            )
        )
