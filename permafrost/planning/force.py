"""Three named levels of force, each with all before it; none is needed for normal work.

A drain, a maintenance and a switch back may be forced: a replica, a host that dies, or an answer
that harms may have to go at an hour when nobody can bring the others back. What is waived is said
in the plan, kept with the operation and told in its receipt. No level admits what is not proven,
moves what is not ours, takes a second host or the knowledge tier's majority away, or takes the
lock of one who is at work.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permafrost.errors import Problem
    from permafrost.planning.stop_verdict import Verdict
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
        found.append(_floor_waived(node.endpoint, floor, serving))
    return (*found, *edges_waived(unreachable, force))


def waived_of(
    verdict: Verdict, unreachable: frozenset[str], force: Force | None
) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """Return what still speaks against a stop under a level of force, and what that waives.

    ``unreachable``: edges that run and do not answer.
    """
    if force is None:
        return verdict.problems, ()
    left, found = [], []
    endpoints = {e.name: e for e in verdict.endpoints}
    for problem in verdict.problems:
        endpoint = endpoints.get(problem.path)
        if endpoint is not None and problem.code == "BELOW_MIN_READY":
            serving, floor = len(endpoint.serves), endpoint.min_ready
            if serving >= floor_under(force, floor):
                found.append(_floor_waived(endpoint.name, floor, serving))
                continue
        if endpoint is not None and problem.code == "CAPACITY_TOO_SMALL":
            found.append(f"places of {endpoint.name}: {problem.message}")
            continue
        left.append(problem)
    return tuple(left), (*found, *edges_waived(unreachable, force))


def _floor_waived(endpoint: str, floor: int, serving: int) -> str:
    return f"min_ready {floor} of {endpoint}: {serving} others serve"


def edges_waived(unreachable: frozenset[str], force: Force) -> tuple[str, ...]:
    """Return in words which silent edges a level leaves as they are."""
    if force is not Force.UNSEEN or not unreachable:
        return ()
    return (f"edges that do not answer: {', '.join(sorted(unreachable))}",)
