"""Which query node gives a place to a replica that has none. Pure.

Each query node belongs to one replica of every loaded collection. Milvus 2.3 draws lots when it
loads, and assigns a node when it comes up (to the replica with the fewest), never otherwise: both
nodes of a member may be all that a replica has. When that member goes, the replica stays without
a node however many the other one has: it is never whole again, no newer state of the collection
is taken for searches, and coordinators that take over answer none.

What is chosen is one node that is restarted: its new process joins the replica without a node.

Invariants: a node of a member that leaves is never chosen, nor the last one that a collection has;
each restart leaves fewer replicas without a node, so that they end. The node may be another
replica's only one: in a second collection, which its new process joins again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from permafrost.facts import MemberState, QueryReplica
from permafrost.planning.knowledge import members, query_port
from permafrost.site.model import Site

SESSION = "querynode-"
"""What Milvus calls a query node's session, before its number."""
Replicas = Mapping[str, Sequence[frozenset[int]]]
"""Collection to the nodes of each of its replicas."""


class QueryNode(NamedTuple):
    """The process that a query node is."""

    member: str
    unit: str


def node_to_restart(
    replicas: Replicas, nodes: Mapping[int, QueryNode], leaving: Collection[str]
) -> int | None:
    """Return the node to restart; None where none helps, or nothing lacks one.

    ``nodes`` are those that run; a number that is not among them is of one that is gone.
    """
    running = [[r & nodes.keys() for r in of] for of in replicas.values()]
    lacking = [of for of in running if not all(of)]
    whole = [frozenset().union(*of) for of in running]
    last = {node for of in whole if len(of) == 1 for node in of}
    spare = {node for of in lacking for r in of if len(r) > 1 for node in r} - last
    staying = [node for node in spare if nodes[node].member not in leaving]

    def price(node: int) -> tuple[int, int, QueryNode]:
        alone = sum(r == {node} for of in running for r in of)
        mended = sum(len(r) > 1 and node in r for of in lacking for r in of)
        return alone, -mended, nodes[node]

    return min(staying, key=price, default=None)


def is_settled(replicas: Replicas, nodes: Collection[int]) -> bool:
    """Whether Milvus has noted who is gone and who has come: every node that runs has its place.

    Before that nothing is decided: a node that just came may be about to join.
    """
    return all(frozenset().union(*of) == frozenset(nodes) for of in replicas.values())


def running_nodes(site: Site, states: Mapping[str, MemberState]) -> dict[int, QueryNode]:
    """Return the query nodes that are registered and whose member says that they run.

    Which units there are the members say, not the site file: while it is changed they have more,
    or others. One that was killed stays registered for seconds, beside its new process: the
    newest counts, and Milvus numbers them upwards.
    """
    sessions = {key: where for state in states.values() for key, where in state.sessions}
    by_address = _active(site, states)
    newest: dict[QueryNode, int] = {}
    for key, where in sessions.items():
        number, node = key.removeprefix(SESSION), by_address.get(where)
        if not key.startswith(SESSION) or not number.isdigit() or node is None:
            continue
        newest[node] = max(int(number), newest.get(node, 0))
    return {number: node for node, number in newest.items()}


def coming_nodes(site: Site, states: Mapping[str, MemberState]) -> frozenset[QueryNode]:
    """Return the query nodes that run and have not registered yet: each is about to join."""
    return frozenset(_active(site, states).values()) - {*running_nodes(site, states).values()}


def _active(site: Site, states: Mapping[str, MemberState]) -> dict[str, QueryNode]:
    """Return address -> query node of those whose member says that they run."""
    return {
        f"{node.address}:{port}": QueryNode(node.name, unit)
        for node in members(site)
        if node.name in states
        for unit, word in states[node.name].units.items()
        if word == "active" and (port := query_port(site, unit)) is not None
    }


def emptied_nodes(site: Site, states: Mapping[str, MemberState]) -> tuple[QueryNode, ...]:
    """Return the query nodes that run and are marked as ones that stop, or are about to.

    One whose emptying was cut off stays so: it is given nothing any more before it begins anew.
    """
    marked = {key for state in states.values() for key in state.stopping}
    nodes = running_nodes(site, states)
    return tuple(sorted(node for number, node in nodes.items() if f"{SESSION}{number}" in marked))


def noted_replicas(states: Mapping[str, MemberState]) -> tuple[QueryReplica, ...]:
    """Return what the query coordinator noted, from the first member that says it."""
    said = (states[name].replicas for name in sorted(states))
    return next((replicas for replicas in said if replicas), ())


def by_collection(noted: Sequence[QueryReplica]) -> dict[str, list[frozenset[int]]]:
    """Return the nodes of each replica, under its collection."""
    found: dict[str, list[frozenset[int]]] = {}
    for replica in noted:
        found.setdefault(replica.collection, []).append(replica.nodes)
    return found


def lacking(noted: Sequence[QueryReplica], nodes: Collection[int]) -> tuple[QueryReplica, ...]:
    """Return the replicas of which no node runs."""
    return tuple(replica for replica in noted if replica.nodes.isdisjoint(nodes))


def lacking_replicas(site: Site, states: Mapping[str, MemberState]) -> tuple[QueryReplica, ...]:
    """Return the replicas of which no node runs, as members see it."""
    return lacking(noted_replicas(states), running_nodes(site, states))


def replicas_on_members(
    site: Site, states: Mapping[str, MemberState]
) -> tuple[dict[str, Any], ...]:
    """Return every replica with the members whose query nodes have it, as plain values."""
    nodes = running_nodes(site, states)
    return tuple(
        {
            "collection": replica.collection,
            "replica": replica.replica,
            "members": sorted({nodes[n].member for n in replica.nodes if n in nodes}),
        }
        for replica in noted_replicas(states)
    )
