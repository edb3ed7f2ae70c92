"""Give every group its number of distinct hosts within the hosts' device counts.

A min-cost flow: group -> host edges carry at most one node each, a host carries as many as its
devices allow. An edge that is recorded costs nothing, any other costs one; so the cheapest flow
keeps the most recorded edges. All recorded edges that fit are taken first (a flow of cost zero
is optimal), then each further node is added along a cheapest augmenting path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """``count`` distinct hosts of ``allowed``, each with ``units`` devices of ``kind``."""

    name: str
    count: int
    kind: str
    units: int
    allowed: frozenset[str]
    kept: frozenset[str]


def assign_hosts(
    demands: list[Demand], devices: Mapping[str, Mapping[str, int]]
) -> dict[str, tuple[str, ...]]:
    """Return the hosts of each group; fewer than asked when there is no way to give them all."""
    chosen: dict[str, tuple[str, ...]] = {}
    used: dict[tuple[str, str], int] = {}
    for kind, units in sorted({(d.kind, -d.units) for d in demands}):
        alike = [d for d in demands if (d.kind, -d.units) == (kind, units)]
        room = {
            host: _room(counts.get(kind, 0) - used.get((host, kind), 0), -units)
            for host, counts in devices.items()
        }
        flow = _Flow(alike, room, chosen)
        chosen |= flow.solve()
        for demand in alike:
            for host in chosen[demand.name]:
                used[host, kind] = used.get((host, kind), 0) + demand.units
    return chosen


def _room(free: int, units: int) -> int:
    """How many nodes of ``units`` devices fit; a node without devices always does."""
    return free // units if units else 1_000_000


class _Flow:
    """One flow over groups that ask for the same devices."""

    def __init__(
        self,
        demands: list[Demand],
        room: Mapping[str, int],
        placed: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._demands = {d.name: d for d in sorted(demands, key=lambda d: d.name)}
        self._room = dict(room)
        self._at: dict[str, set[str]] = {name: set() for name in self._demands}
        self._crowd = dict.fromkeys(room, 0)
        for hosts in placed.values():
            for host in hosts:
                self._crowd[host] += 1

    def solve(self) -> dict[str, tuple[str, ...]]:
        for name, demand in self._demands.items():
            for host in sorted(demand.kept):
                if len(self._at[name]) < demand.count and self._room[host] > 0:
                    self._put(name, host)
        for name, demand in self._demands.items():
            while len(self._at[name]) < demand.count:
                if not (self._add_directly(name) or self._add_by_moving(name)):
                    break
        return {name: tuple(sorted(hosts)) for name, hosts in self._at.items()}

    def _put(self, name: str, host: str) -> None:
        self._at[name].add(host)
        self._room[host] -= 1
        self._crowd[host] += 1

    def _take(self, name: str, host: str) -> None:
        self._at[name].remove(host)
        self._room[host] += 1
        self._crowd[host] -= 1

    def _add_directly(self, name: str) -> bool:
        """Take the emptiest host that has room. No path is cheaper than a direct one."""
        free = [
            host for host in self._demands[name].allowed - self._at[name] if self._room[host] > 0
        ]
        if not free:
            return False
        self._put(name, min(free, key=lambda h: (self._crowd[h], h)))
        return True

    def _add_by_moving(self, name: str) -> bool:
        """Find the cheapest chain of moves that makes room (Bellman-Ford), and make it."""
        cost: dict[str, int] = {name: 0}
        came: dict[str, tuple[str, str]] = {}  # group -> (host it leaves, group that takes it)
        target: tuple[int, str, str] | None = None
        for _ in self._demands:
            for group in sorted(cost):
                for host in sorted(self._demands[group].allowed - self._at[group]):
                    step = cost[group] + self._price(group, host)
                    for other in self._demands:
                        if other == group or host not in self._at[other]:
                            continue
                        total = step - self._price(other, host)
                        if total < cost.get(other, 1_000_000) and other != name:
                            cost[other] = total
                            came[other] = (host, group)
        for group in sorted(cost):
            for host in sorted(self._demands[group].allowed - self._at[group]):
                if self._room[host] > 0:
                    total = cost[group] + self._price(group, host)
                    if target is None or total < target[0]:
                        target = (total, group, host)
        if target is None:
            return False
        self._apply(name, came, target)
        return True

    def _apply(
        self, name: str, came: Mapping[str, tuple[str, str]], target: tuple[int, str, str]
    ) -> None:
        _, group, host = target
        moves = [(group, host)]
        while group != name:
            left, taker = came[group]
            self._take(group, left)
            moves.append((taker, left))
            group = taker
        for taker, new in moves:
            self._put(taker, new)

    def _price(self, group: str, host: str) -> int:
        return 0 if host in self._demands[group].kept else 1
