"""Where channels of collections are led, and which query node begins anew to spread that. Pure.

Each replica of a collection has one query node that leads a channel: it reads what is inserted and
answers with what the replica's nodes have. Leaders are not balanced by Milvus here (two replicas
whose leaders move at once leave a proxy without one), and stay where the lot or a member's going
has put them: perhaps all on one member, or each replica's on both. Its loss then stops searches
for seconds, until new leaders have loaded everything.

What is chosen is a node that is emptied and begins anew: what it led goes to another node of its
replica, and nothing comes back to it.

Invariant: of all that a few restarts can lead to, the fewest collections that a member's loss
leaves without a replica that keeps its leaders are gone for, by the fewest restarts; the next one
is chosen so again, and nearer to that: so they end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from permafrost.facts import MemberState
from permafrost.planning.knowledge import version_of
from permafrost.planning.query_replicas import (
    QueryNode,
    Replicas,
    by_collection,
    noted_replicas,
    running_nodes,
)
from permafrost.site.model import Site

SPREAD_UNIT = "permafrost-knowledge-spread"
"""What has members spread leaders by themselves, where it runs (ADR 27)."""
PROXY = "proxy-"
"""What Milvus calls a proxy's session, before its number."""
FURTHEST = 3
"""So many restarts in a row are thought of. What takes more is left: each costs a hand-over."""
Leaders = Mapping[str, Mapping[str, Sequence[int]]]
"""Collection to channel to the nodes that lead it, of each replica one."""
_Led = frozenset[tuple[str, str, tuple[int, ...]]]


def node_to_spread(
    leaders: Leaders, replicas: Replicas, nodes: Mapping[int, QueryNode]
) -> int | None:
    """Return the node whose restart is the next to spread leaders; None where none does.

    A restart may leave as many exposed as before, or more, where another one after it helps: in
    collections that were dealt differently. A leader that is not among ``nodes`` has ended.
    """
    before = (len(exposed(leaders, replicas, nodes)), 0)
    best, chosen = before, None
    reached: dict[_Led, tuple[Leaders, int | None]] = {_led(leaders): (leaders, None)}
    seen = set(reached)
    for steps in range(1, FURTHEST + 1):
        following: dict[_Led, tuple[Leaders, int | None]] = {}
        for led, first in reached.values() if best[0] else ():
            leading = {n for channels in led.values() for of in channels.values() for n in of}
            for node in sorted(leading & nodes.keys(), key=nodes.__getitem__):
                if not _is_movable(node, led, replicas, nodes):
                    continue
                after = _without(node, led, replicas, nodes)
                start = node if first is None else first
                found = (len(exposed(after, replicas, nodes)), steps)
                if found < best:
                    best, chosen = found, start
                following.setdefault(_led(after), (after, start))
        reached = {key: found for key, found in following.items() if key not in seen}
        seen |= reached.keys()
    return chosen if best[0] < before[0] else None


def _led(leaders: Leaders) -> _Led:
    return frozenset(
        (collection, channel, tuple(of))
        for collection, channels in leaders.items()
        for channel, of in channels.items()
    )


def exposed(
    leaders: Leaders, replicas: Replicas, nodes: Mapping[int, QueryNode]
) -> set[tuple[str, str]]:
    """Return (collection, member) such that the member's loss breaks every replica's leaders.

    A replica that keeps the leaders of all its channels needs no new one, which is not whole for
    seconds. Where no query node runs on another member nothing could be otherwise.
    """
    members = {node.member for node in nodes.values()}
    found: set[tuple[str, str]] = set()
    for collection, channels in leaders.items():
        homes: dict[frozenset[int], set[str]] = {}
        for node in {n for of in channels.values() for n in of} & nodes.keys():
            of = next((r for r in replicas.get(collection, ()) if node in r), frozenset({node}))
            homes.setdefault(of, set()).add(nodes[node].member)
        if len(homes) > 1 and len(members) > 1:
            found |= {(collection, m) for m in members if all(m in at for at in homes.values())}
    return found


def alone(leaders: Leaders, nodes: Mapping[int, QueryNode]) -> dict[tuple[str, str], str]:
    """Return (collection, channel) that two replicas or more lead on the same member: which.

    Where no query node runs on another member nothing could be otherwise.
    """
    if len({node.member for node in nodes.values()}) < 2:
        return {}
    found = {}
    for collection, channels in leaders.items():
        for channel, leading in channels.items():
            homes = [nodes[n].member for n in leading if n in nodes]
            if len(homes) > 1 and len(set(homes)) == 1:
                found[collection, channel] = homes[0]
    return found


def noted_leaders(states: Mapping[str, MemberState]) -> Leaders:
    """Return who leads, as the first proxy's member that is settled has noted it.

    The note of a member whose proxy is not registered says how it was before that one went.
    """
    registered = {
        where.rpartition(":")[0]
        for state in states.values()
        for key, where in state.sessions
        if key.startswith(PROXY)
    }
    notes = (note for state in states.values() for note in state.proxy_leaders)
    return next((n.leaders for n in notes if n.is_settled and n.address in registered), {})


def is_unsettled(states: Mapping[str, MemberState], address: str) -> bool:
    """Whether the member at an address notes that its proxy knows not all that lead.

    One that notes nothing is of a configuration of before there were notes.
    """
    noted = (s.proxy_leaders for s in states.values() if s.proxy_leaders)
    return any(not n.is_settled for n in next(noted, ()) if n.address == address)


def led_on_one_member(site: Site, states: Mapping[str, MemberState]) -> tuple[dict[str, Any], ...]:
    """Return the collections with channels that one member leads alone, as plain values."""
    found = alone(noted_leaders(states), running_nodes(site, states))
    return tuple(
        {
            "collection": collection,
            "member": member,
            "channels": sum(key[0] == collection and at == member for key, at in found.items()),
        }
        for collection, member in sorted({(key[0], at) for key, at in found.items()})
    )


def exposed_by_a_loss(site: Site, states: Mapping[str, MemberState]) -> tuple[dict[str, Any], ...]:
    """Return the collections, each with a member whose loss breaks every replica's leaders."""
    replicas, nodes = by_collection(noted_replicas(states)), running_nodes(site, states)
    found = exposed(noted_leaders(states), replicas, nodes)
    return tuple({"collection": c, "member": member} for c, member in sorted(found))


def members_spread(states: Mapping[str, MemberState]) -> bool:
    """Whether members spread leaders by themselves: on each with query nodes it is running."""
    units = [state.units for state in states.values() if SPREAD_UNIT in state.units]
    return bool(units) and all(of[SPREAD_UNIT] == "active" for of in units)


def spreading(site: Site, states: Mapping[str, MemberState]) -> QueryNode | None:
    """Return the query node to restart so that leaders are spread; None where none helps.

    Nor where the version's proxies find out by themselves who leads: nothing is noted then.
    """
    if not version_of(site).pins_leaders:
        return None
    nodes = running_nodes(site, states)
    replicas = by_collection(noted_replicas(states))
    chosen = node_to_spread(noted_leaders(states), replicas, nodes)
    return None if chosen is None else nodes[chosen]


def _others(
    node: int, collection: str, replicas: Replicas, nodes: Mapping[int, QueryNode]
) -> frozenset[int]:
    """Return the other nodes that run of the replica of a collection that a node belongs to."""
    of = next((r for r in replicas.get(collection, ()) if node in r), frozenset[int]())
    return (of & nodes.keys()) - {node}


def _is_movable(
    node: int, leaders: Leaders, replicas: Replicas, nodes: Mapping[int, QueryNode]
) -> bool:
    """Whether each collection that it leads a channel of has another node in its replica."""
    return all(
        bool(_others(node, collection, replicas, nodes))
        for collection, channels in leaders.items()
        if any(node in of for of in channels.values())
    )


def _without(
    node: int, leaders: Leaders, replicas: Replicas, nodes: Mapping[int, QueryNode]
) -> Leaders:
    """Return who leads once a node is emptied. Which other one of its replica, Milvus chooses:
    one of its own member is assumed where there is one."""

    def instead(collection: str) -> int:
        others = _others(node, collection, replicas, nodes)
        return min(others, key=lambda n: (nodes[n].member != nodes[node].member, nodes[n]))

    return {
        collection: {
            channel: [instead(collection) if n == node else n for n in of]
            for channel, of in channels.items()
        }
        for collection, channels in leaders.items()
    }
