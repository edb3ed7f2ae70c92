"""May this replica be taken away?

Invariant: by our doing, the replicas of an endpoint that serve never fall below ``min_ready``.
A replica that serves nobody may always be drained: that takes nothing away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permafrost.errors import Problem, Refused
from permafrost.planning.force import Force, floor_under, waived
from permafrost.planning.lifecycle import DeclaredState
from permafrost.planning.live import LiveState
from permafrost.site.model import Site
from permafrost.topology import Node, replicas


class DrainStep(StrEnum):
    """Steps of a drain, in their order."""

    DECLARE_DRAINING = "declare-draining"
    SET_EDGES = "set-edges-to-drain"
    AWAIT_IDLE = "await-idle"
    DECLARE_DRAINED = "declare-drained"


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """What taking a replica away means: ``steps`` is empty when it is already so."""

    replica: str
    endpoint: str
    steps: tuple[DrainStep, ...]
    floor: int
    served_by: tuple[str, ...]
    in_flight: int
    why_nothing: str = ""
    waived: tuple[str, ...] = ()
    held_open: int = 0
    """Streams among what is in flight that clients hold open; those that only wait are ended."""

    def as_dict(self, fingerprint: str) -> dict[str, Any]:
        """Return plain values for JSON."""
        steps = [
            {"id": f"{i:02}", "kind": step.value, "target": self.replica}
            for i, step in enumerate(self.steps, start=1)
        ]
        return {"schema": 1, "command": "drain", "fingerprint": fingerprint, "steps": steps}


def floor_of(site: Site, node: Node) -> int:
    """Return how many other replicas must keep serving."""
    endpoint = site.inference.get(node.endpoint)
    return endpoint.min_ready if endpoint is not None else 0


def plan_drain(
    site: Site, live: LiveState, node: Node, *, force: Force | None = None
) -> DrainPlan:
    """Return the steps, or raise Refused, naming who serves and who does not.

    ``force``: what may be waived; the plan says what is.
    """
    others = tuple(n for n in _members(site, node) if n.name != node.name)
    serving = tuple(n.name for n in others if live.serves(n.name))
    floor = floor_under(force, floor_of(site, node))
    nothing = _why_nothing(live, node)
    takes_away = any(s.takes_requests for s in live.traffic.of(node.name))
    if takes_away and len(serving) < floor:
        raise Refused(_below_floor(live, node, others, serving, floor))
    return DrainPlan(
        node.name,
        node.endpoint,
        () if nothing else tuple(DrainStep),
        floor if takes_away else 0,
        serving,
        live.in_flight(node.name),
        nothing,
        waived(site, node, len(serving), frozenset(live.traffic.unreachable), force)
        if takes_away and not nothing
        else (),
    )


def _members(site: Site, node: Node) -> tuple[Node, ...]:
    return replicas(site, node.endpoint) if node.endpoint in site.inference else ()


def _why_nothing(live: LiveState, node: Node) -> str:
    declared = live.declared.get(node.name)
    if declared is None and not any(s.takes_requests for s in live.traffic.of(node.name)):
        return "it was never admitted, and no edge sends it requests"
    is_drained = declared is not None and declared.state is DeclaredState.DRAINED
    is_idle = not live.traffic.in_flight(node.name)
    if is_drained and is_idle and live.traffic.keeps_away(node.name):
        return "it is already drained"
    return ""


def _below_floor(
    live: LiveState, node: Node, others: tuple[Node, ...], serving: tuple[str, ...], floor: int
) -> Problem:
    away = []
    for other in others:
        if other.name not in serving:
            state, reason = live.state_of(other)
            away.append(f"{other.name} is {state.value}" + (f" ({reason})" if reason else ""))
    serves = ", ".join(serving) or "no other replica"
    message = f"{node.endpoint} must keep {floor} serving; without this one {serves} would serve"
    if away:
        message += "; " + "; ".join(away)
    hint = (
        "bring the missing ones back first (`permafrost undrain REPLICA`)"
        if away
        else "give the endpoint more replicas, or lower min_ready"
    )
    return Problem("DRAIN_BELOW_MIN_READY", message, node.name, hint)
