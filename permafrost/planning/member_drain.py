"""Take one member of the knowledge tier out of service on its running machine, and bring it back.

Invariant: the others answer right before, meanwhile and after; at most one member is away. What is
declared outlives every process: until it is undrained no other member is touched.
"""

from __future__ import annotations

from collections.abc import Mapping

from permafrost.errors import Problem
from permafrost.planning.knowledge import members
from permafrost.planning.lifecycle import Declared, DeclaredState
from permafrost.planning.maintenance_steps import (
    HAND_OVER_S,
    HAND_OVER_TEXT,
    TIER_S,
    HostStep,
)
from permafrost.planning.replicas import DECLARE_S
from permafrost.planning.steps import Draft, OperationPlan, numbered
from permafrost.site.model import Site
from permafrost.topology import Node

DRAIN, UNDRAIN = "drain", "undrain"


def drained_members(site: Site, declared: Mapping[str, Declared]) -> tuple[str, ...]:
    """Return the members that were taken out of service; a site without the tier has none."""
    names = (n.name for n in members(site)) if site.knowledge is not None else ()
    return tuple(n for n in names if (said := declared.get(n)) is not None and said.is_away)


def drained_problem(declared: Declared, wanted: str) -> Problem:
    """Return that nothing is done to ``wanted`` while a member is drained."""
    return Problem(
        "MEMBER_DRAINED",
        f"{declared}; {wanted} is not touched meanwhile",
        declared.node,
        f"`permafrost undrain {declared.node}` first, then run it again",
    )


def plan_member_drain(
    node: Node, declared: Declared | None, *, owner: str, reason: str
) -> OperationPlan:
    """Return the steps; none where it is drained."""
    is_drained = declared is not None and declared.state is DeclaredState.DRAINED
    return OperationPlan(
        DRAIN,
        node.name,
        numbered(() if is_drained else member_drain_drafts(node, owner=owner, reason=reason)),
        facts=_before(declared),
        notes=("it is drained already",) if is_drained else (),
    )


def plan_member_undrain(node: Node, declared: Declared | None) -> OperationPlan:
    """Return the step that has everything started there; none where it was not drained."""
    is_away = declared is not None and declared.is_away
    return OperationPlan(
        UNDRAIN,
        node.name,
        numbered(member_undrain_drafts(node) if is_away else ()),
        facts=_before(declared),
        notes=() if is_away else ("it is not drained",),
    )


def member_drain_drafts(node: Node, *, owner: str, reason: str) -> tuple[Draft, ...]:
    """Return how a member goes: said first, so that no other is touched, and given away then."""
    who = {"owner": owner, "reason": reason}
    return (
        _declare(node, DeclaredState.DRAINING, who),
        Draft(HostStep.HAND_OVER.value, node.name, HAND_OVER_S + TIER_S, HAND_OVER_TEXT),
        _declare(node, DeclaredState.DRAINED, who),
    )


def member_undrain_drafts(node: Node) -> tuple[Draft, ...]:
    """Return how a member comes back: started, and the tier whole with it."""
    return (Draft(HostStep.AWAIT_MEMBER.value, node.name, TIER_S, "whole, answers right"),)


def _declare(node: Node, state: DeclaredState, who: dict[str, str]) -> Draft:
    given = {**who, "state": state.value}
    return Draft(HostStep.DECLARE_AWAY.value, node.name, DECLARE_S, state.value, given)


def _before(declared: Declared | None) -> dict[str, str]:
    return {
        "was": declared.state.value if declared else "",
        "owner": declared.owner if declared else "",
        "reason": declared.reason if declared else "",
    }
