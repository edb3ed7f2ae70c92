"""What a member's going has left of query nodes although all are back, in words. Pure.

A member that was lost comes back by itself or by a deployment, and users load collections: no
runbook follows on either. Then all that leads may stand on one member, whose loss would stop
searches for seconds and have them miss rows; a spare may run on, replicas may differ.
"""

from __future__ import annotations

from collections.abc import Mapping

from permafrost.facts import MemberState
from permafrost.planning.knowledge import members, spares
from permafrost.planning.query_leaders import exposed, members_spread, noted_leaders, spreading
from permafrost.planning.query_replicas import (
    QueryNode,
    Replicas,
    by_collection,
    coming_nodes,
    emptied_nodes,
    is_settled,
    noted_replicas,
    running_nodes,
)
from permafrost.planning.query_spares import to_dismiss, to_level
from permafrost.site.model import Site


def next_home(
    site: Site, replicas: Replicas, nodes: Mapping[int, QueryNode]
) -> tuple[QueryNode, bool] | None:
    """Return the query node that is ended or begins anew next, and whether it is a spare."""
    called = {QueryNode(member, unit) for member, unit in spares(site).items()}
    if not called:  # a version whose nodes find their places by themselves
        return None
    number = to_dismiss(replicas, nodes, called)
    if number is not None:
        return nodes[number], True
    number = to_level(replicas, nodes)
    return None if number is None else (nodes[number], False)


def left_away(site: Site, states: Mapping[str, MemberState]) -> str:
    """Return what is to be brought home; empty where nothing is, or nothing can be judged yet.

    Nothing is judged before every member answers and every query node has its place, nor while a
    member is at it. What members spread by themselves is left to them.
    """
    if any(node.name not in states for node in members(site)):
        return ""
    if any(state.turn for state in states.values()):
        return ""
    if emptied := emptied_nodes(site, states):
        return f"{_named(emptied[0])}, emptied by something that was cut off, begins anew"
    replicas, nodes = by_collection(noted_replicas(states)), running_nodes(site, states)
    if coming_nodes(site, states) or not is_settled(replicas, nodes):
        return ""
    if found := next_home(site, replicas, nodes):
        node, is_spare = found
        return f"{_named(node)} " + (
            "ends: a spare" if is_spare else "begins anew: replicas differ"
        )
    leading = None if members_spread(states) else spreading(site, states)
    if leading is None:
        return ""
    led = sorted({member for _, member in exposed(noted_leaders(states), replicas, nodes)})
    return (
        f"{_named(leading)} begins anew: the loss of {' or '.join(led)} would leave no replica of "
        "a collection with all its leaders"
    )


def _named(node: QueryNode) -> str:
    return f"{node.unit} of {node.member}"
