"""Query nodes and replicas as Milvus 2.3.5 has them.

A node that registers gets a new number and joins, in each collection, the replica with the fewest
nodes; one that is gone leaves its replica. No other node is ever moved. A channel of a replica is
led by one of its nodes, until that is gone: then by another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

from permafrost.facts import QueryReplica
from permafrost.planning.query_replicas import QueryNode

REPLICAS = 2
CHANNELS = ("v0", "v1")


@dataclass
class QueryTier:
    """``numbers``: those of the nodes that are registered; ``has``: collection to its replicas."""

    numbers: dict[QueryNode, int] = field(default_factory=dict)
    has: dict[str, list[set[int]]] = field(
        default_factory=lambda: {"docs": [set() for _ in range(REPLICAS)]}
    )
    led: dict[tuple[str, int, str], int] = field(default_factory=dict)
    registered: int = 100
    has_spares: bool = True
    """Whether members have been configured to have them."""
    called: set[QueryNode] = field(default_factory=set)
    """Spares that run."""
    stopped: set[QueryNode] = field(default_factory=set)
    """Others that were stopped, one by one."""
    versions: frozenset[str] = frozenset()
    """Of the nodes that run, where they are not all of the site's."""
    is_held: bool = False
    """Whether nodes that come get no segments of others."""
    marked: set[int] = field(default_factory=set)
    """Those that are marked as ones that stop, by their numbers."""
    late: dict[QueryNode, int] = field(default_factory=dict)
    """Those that run and register only when members have been asked so many times."""
    lock: Lock = field(default_factory=Lock)

    def see(self, running: Iterable[QueryNode]) -> None:
        """Notice who has gone and who has come."""
        with self.lock:
            now = [node for node in running if not self.is_late(node)]
            for node in [n for n in self.numbers if n not in now]:
                self.leave(node)
            for node in now:
                if node not in self.numbers:
                    self.join(node)

    def is_late(self, node: QueryNode) -> bool:
        """Whether one that runs has not registered this time either."""
        self.late[node] = self.late.get(node, 0) - 1
        return self.late[node] >= 0

    def leave(self, node: QueryNode) -> None:
        """A process has ended."""
        number = self.numbers.pop(node)
        for replicas in self.has.values():
            for replica in replicas:
                replica.discard(number)
        self.lead()

    def join(self, node: QueryNode) -> None:
        """A process has registered."""
        self.registered += 1
        self.numbers[node] = self.registered
        for replicas in self.has.values():
            min(replicas, key=len).add(self.registered)

    def load(self, collection: str, *replicas: Iterable[QueryNode]) -> None:
        """Have a collection loaded just so, as the lot may fall."""
        self.has[collection] = [{self.numbers[node] for node in nodes} for nodes in replicas]

    def lead(self) -> None:
        """Have another node of the replica lead what one led that is gone."""
        for name, replicas in self.has.items():
            for key in [(name, i, c) for i in range(len(replicas)) for c in CHANNELS]:
                if self.led.get(key) not in replicas[key[1]]:
                    self.led.pop(key, None)
                if nodes := sorted(replicas[key[1]]):
                    self.led.setdefault(key, nodes[key[1] % len(nodes)])

    def leaders(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Return collection to channel to the nodes that lead it, of each replica one."""
        with self.lock:
            self.lead()
            found: dict[str, dict[str, tuple[int, ...]]] = {}
            for (name, _, channel), node in sorted(self.led.items()):
                channels = found.setdefault(name, {})
                channels[channel] = (*channels.get(channel, ()), node)
            return found

    def percent(self) -> dict[str, int]:
        """Return how much of each collection is loaded: what has no node never is."""
        return {
            name: 100 * sum(map(bool, replicas)) // len(replicas)
            for name, replicas in self.has.items()
        }

    def noted(self) -> tuple[QueryReplica, ...]:
        """Return what the coordinator notes in etcd."""
        with self.lock:
            return tuple(
                QueryReplica(name, f"{name}-{i}", frozenset(nodes))
                for name, replicas in self.has.items()
                for i, nodes in enumerate(replicas)
            )
