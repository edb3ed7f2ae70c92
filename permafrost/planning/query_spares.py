"""How a replica whose query nodes all stand on the member that goes is given another one. Pure.

A query node joins, in every collection, the replica with the fewest when it comes up
(``planning.query_replicas``), and never another one. Each member has a spare query node that
stands still. Before a member goes, its query nodes are emptied one by one until each replica that
would be lost has the fewest nodes of its collection; then a spare of a member that stays is
started: it joins all of those for certain. The rest of the member is emptied to it, and no
replica is ever without a node. Once the member is back, with nodes of its own in those replicas,
the spare is emptied.

Invariants: no node is emptied that is the last one of a replica; a spare is started only where
each replica that would be lost gets it, by more than a lot; each step leaves fewer such replicas
or fewer nodes on the member that goes, so that they end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from permafrost.planning.query_replicas import QueryNode, Replicas


class Start(NamedTuple):
    """Start a spare."""

    spare: QueryNode


class Empty(NamedTuple):
    """Have the query node of this number hand over and end."""

    node: int


def before_it_goes(
    replicas: Replicas,
    nodes: Mapping[int, QueryNode],
    leaving: str,
    spares: Collection[QueryNode],
) -> Start | Empty | None:
    """Return what is done next, so that each replica outlives a member; None: nothing, or no way.

    ``nodes`` are those that run, ``spares`` such of other members as may be started.
    """
    lost = tuple(_lost(replicas, nodes, leaving))
    spare = to_call(nodes, spares)
    if not lost or spare is None:
        return None
    short = [replica for replica, others in lost if not all(len(replica) < len(r) for r in others)]
    if not short:
        return Start(spare)
    movable = [node for replica in short for node in replica if _may_end(node, replicas, nodes)]
    chosen = max(movable, key=lambda n: (sum(n in r for r in short), -n), default=None)
    return None if chosen is None else Empty(chosen)


def to_call(nodes: Mapping[int, QueryNode], spares: Collection[QueryNode]) -> QueryNode | None:
    """Return the spare to start: of the member with the fewest query nodes; None without any."""
    homes = [node.member for node in nodes.values()]
    return min(spares, key=lambda spare: (homes.count(spare.member), spare), default=None)


def goes_with(replicas: Replicas, nodes: Mapping[int, QueryNode], leaving: str) -> bool:
    """Whether a replica has nodes on a member alone."""
    return any(_lost(replicas, nodes, leaving))


def to_dismiss(
    replicas: Replicas, nodes: Mapping[int, QueryNode], spares: Collection[QueryNode]
) -> int | None:
    """Return the number of a spare that runs and may end: each replica of it has another node."""
    running = sorted(number for number, node in nodes.items() if node in spares)
    return next((number for number in running if _may_end(number, replicas, nodes)), None)


def to_level(replicas: Replicas, nodes: Mapping[int, QueryNode]) -> int | None:
    """Return the node to restart where replicas of a collection differ by two nodes or more.

    It leaves the larger one and joins the smaller one; such a node whose restart leaves the fewest
    differences, then the fewest replicas on one member. None where none helps.
    """

    def price(of: Replicas) -> tuple[int, int]:
        sizes = [[len(r) for r in each] for each in of.values() if each]
        uneven = sum(max(0, max(each) - min(each) - 1) for each in sizes)
        alone = sum(len({nodes[n].member for n in r}) == 1 for each in of.values() for r in each)
        return uneven, alone

    running = {name: [r & nodes.keys() for r in of] for name, of in replicas.items()}
    now = price(running)[0]
    after = {
        node: price(_anew(node, running))
        for node in nodes
        if now and _may_end(node, replicas, nodes)
    }
    best = min(after, key=lambda node: (after[node], nodes[node]), default=None)
    return best if best is not None and after[best][0] < now else None


def _lost(
    replicas: Replicas, nodes: Mapping[int, QueryNode], leaving: str
) -> Iterator[tuple[frozenset[int], list[frozenset[int]]]]:
    """Return each replica that has nodes on a member alone, and the others of its collection."""
    for of in replicas.values():
        running = [r & nodes.keys() for r in of]
        for i, replica in enumerate(running):
            if replica and all(nodes[n].member == leaving for n in replica):
                yield replica, running[:i] + running[i + 1 :]


def _may_end(node: int, replicas: Replicas, nodes: Mapping[int, QueryNode]) -> bool:
    """Whether each replica that a node belongs to has another one that runs."""
    return all((r & nodes.keys()) - {node} for of in replicas.values() for r in of if node in r)


def _anew(node: int, running: Replicas) -> Replicas:
    """Return the replicas once a node has begun anew: in each collection with the fewest.

    Where several have the fewest it is taken to be where it was: nothing is gained by a lot.
    """
    found = {}
    for name, of in running.items():
        without = [r - {node} for r in of]
        fewest = min(map(len, without))
        least = [i for i, r in enumerate(without) if len(r) == fewest]
        found[name] = (
            [r | {node} if i == least[0] else r for i, r in enumerate(without)]
            if len(least) == 1
            else list(of)
        )
    return found
