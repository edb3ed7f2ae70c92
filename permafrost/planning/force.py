"""Three named levels of force, each with all before it; none is needed for normal work.

What is waived is said in the plan, kept with the operation and told in its receipt. No level
admits what is not proven, moves what is not ours, or takes the lock of one who is at work.
"""

from __future__ import annotations

from enum import StrEnum

from permafrost.site.model import Site
from permafrost.topology import Node


class Force(StrEnum):
    """How far an operator goes."""

    DEGRADED = "degraded"
    """Fewer than ``min_ready`` serve meanwhile, but one at least."""
    OUTAGE = "outage"
    """Nobody serves meanwhile."""
    UNSEEN = "unseen"
    """Edges that run and do not answer are left as they are: they may send requests there yet."""


def floor_under(force: Force | None, floor: int) -> int:
    """Return how many must serve under a level of force."""
    if force is None:
        return floor
    return min(floor, 1) if force is Force.DEGRADED else 0


def force_of(told: str | None) -> Force | None:
    """Return the level in a step's arguments."""
    return Force(told) if told else None


def waived(
    site: Site, node: Node, serving: int, unreachable: frozenset[str], force: Force | None
) -> tuple[str, ...]:
    """Return what a level of force waives now, in words; empty where it was not needed."""
    if force is None:
        return ()
    endpoint = site.inference.get(node.endpoint)
    floor = endpoint.min_ready if endpoint else 0
    found = []
    if serving < floor:
        found.append(f"min_ready {floor} of {node.endpoint}: {serving} others serve")
    if force is Force.UNSEEN and unreachable:
        found.append(f"edges that do not answer: {', '.join(sorted(unreachable))}")
    return tuple(found)
