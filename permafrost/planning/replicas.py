"""The steps that take a replica away and that bring one back, for every plan that needs them."""

from __future__ import annotations

from enum import StrEnum

from permafrost.planning.drain import DrainStep
from permafrost.planning.force import Force
from permafrost.planning.steps import Draft
from permafrost.site.model import Site
from permafrost.site.pins import digest_of
from permafrost.topology import Node

DECLARE_S = 10.0
EDGES_S = 120.0
UP_S = 60.0
PROVE_S = 600.0
DRAIN_S = 120.0
RENEWS = {"renews": "yes"}
"""Such a step asks for the lock again while it waits: it may outlast the lease."""


class AdmitStep(StrEnum):
    """Steps of an admission, in their order."""

    AWAIT_ANSWER = "await-answer"
    PROVE = "prove"
    SET_EDGES = "set-edges-to-ready"
    AWAIT_UP = "await-up"
    DECLARE_ADMITTED = "declare-admitted"


def drain_drafts(
    site: Site,
    node: Node,
    *,
    owner: str,
    reason: str,
    deadline_s: float | None = None,
    cut: bool = False,
    force: Force | None = None,
) -> tuple[Draft, ...]:
    """Return the steps that take a replica out of rotation.

    ``deadline_s``: instead of the endpoint's own. ``cut``: end what is left then. ``force``: what
    each step may waive when it looks once more.
    """
    endpoint = site.inference.get(node.endpoint)
    if deadline_s is None:
        deadline_s = float(endpoint.drain_deadline_s) if endpoint else DRAIN_S
    who = {"owner": owner, "reason": reason, "patience_s": f"{deadline_s:g}", **_where(node)}
    who |= {"force": force.value} if force else {}
    idle = {**who, **RENEWS, **({"cut": "yes"} if cut else {})}
    return (
        Draft(DrainStep.DECLARE_DRAINING.value, node.name, DECLARE_S, arguments=who),
        Draft(DrainStep.SET_EDGES.value, node.name, EDGES_S, arguments=who),
        Draft(DrainStep.AWAIT_IDLE.value, node.name, deadline_s, arguments=idle),
        Draft(DrainStep.DECLARE_DRAINED.value, node.name, DECLARE_S, arguments=who),
    )


def admit_drafts(site: Site, node: Node, *, owner: str) -> tuple[Draft, ...]:
    """Return the steps that bring a replica into rotation, through the gate."""
    endpoint = site.inference[node.endpoint]
    who = {"owner": owner, "checkpoint": digest_of(endpoint.model), **_where(node)}
    start_s = float(endpoint.start_deadline_s)
    return (
        Draft(AdmitStep.AWAIT_ANSWER.value, node.name, start_s, arguments={**who, **RENEWS}),
        Draft(AdmitStep.PROVE.value, node.name, PROVE_S, arguments=who),
        Draft(AdmitStep.SET_EDGES.value, node.name, EDGES_S, arguments=who),
        Draft(AdmitStep.AWAIT_UP.value, node.name, UP_S, arguments=who),
        Draft(AdmitStep.DECLARE_ADMITTED.value, node.name, DECLARE_S, arguments=who),
    )


def _where(node: Node) -> dict[str, str]:
    """A node that the site file no longer names is known from here alone."""
    return {"endpoint": node.endpoint, "address": str(node.address)}
