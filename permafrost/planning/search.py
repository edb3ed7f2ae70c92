"""Find hosts for every group: quickly where that is surely best, by a solver where it is not.

First everything that is recorded and can stay stays, then each group takes the emptiest hosts
that are left, its failure domains filled evenly. When that serves everybody and nothing had to
leave, no other answer moves less, and it is the answer. Otherwise the question is exact: place
as many members as possible, and among those answers move as few as possible
(``permafrost.planning.exact``).

A host whose memory or CPUs are overdrawn by what stands on it by the record keeps that, and takes
nothing new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from permafrost.planning.demand import Chosen, Demand, Rooms
from permafrost.planning.exact import solve

MOST_TRIED = 12
"""Members on one host of which every subset is tried; more are left to the solver."""


def assign_hosts(demands: Sequence[Demand], rooms: Rooms) -> Chosen:
    """Return the hosts of each group; fewer than asked only when there is no way to give all.

    Deterministic, and independent of the order of both arguments.
    """
    ordered = sorted(demands, key=lambda d: d.name)
    sorted_rooms = {name: rooms[name] for name in sorted(rooms)}
    attempt = _Attempt(ordered, sorted_rooms)
    if attempt.keep() and attempt.fill():
        return attempt.chosen()
    return solve(ordered, sorted_rooms)


class _Attempt:
    """One greedy pass. Each step says whether it is sure that nothing better exists."""

    def __init__(self, demands: Sequence[Demand], rooms: Rooms) -> None:
        self._demands = demands
        self._rooms = rooms
        self._at: dict[str, set[str]] = {d.name: set() for d in demands}
        self._in_domain: dict[str, Counter[str]] = {d.name: Counter() for d in demands}
        self._used: dict[tuple[str, str], int] = {}
        self._memory = dict.fromkeys(rooms, 0)
        self._cpus = dict.fromkeys(rooms, 0)
        self._crowd = dict.fromkeys(rooms, 0)

    def keep(self) -> bool:
        """Keep what is recorded and possible; False when which ones is no local question."""
        at_host: dict[str, list[Demand]] = {}
        for demand in self._demands:
            if len(demand.kept) > demand.count:
                return False
            domains = Counter(self._rooms[host].domain for host in demand.kept)
            if domains and max(domains.values()) > demand.per_domain:
                return False
            for host in demand.kept:
                at_host.setdefault(host, []).append(demand)
        for host in sorted(at_host):
            stays = self._largest_that_fits(host, at_host[host])
            if stays is None:
                return False
            for demand in stays:
                self._put(demand, host)
        return True

    def fill(self) -> bool:
        """Give each group what it lacks, the most demanding first; False when one lacks still."""
        for demand in sorted(
            self._demands, key=lambda d: (-d.units, -d.memory_mib, -d.cpus, d.name)
        ):
            for host in self._best(demand, demand.count - len(self._at[demand.name])):
                self._put(demand, host)
            if len(self._at[demand.name]) < demand.count:
                return False
        return True

    def chosen(self) -> Chosen:
        """Return the hosts of each group."""
        return {name: tuple(sorted(hosts)) for name, hosts in self._at.items()}

    def _largest_that_fits(self, host: str, here: list[Demand]) -> tuple[Demand, ...] | None:
        devices = self._rooms[host].devices
        if _fits_devices(here, devices):
            return tuple(here)
        if len(here) > MOST_TRIED:
            return None
        for size in range(len(here) - 1, 0, -1):
            for some in combinations(here, size):
                if _fits_devices(some, devices):
                    return some
        return ()

    def _best(self, demand: Demand, lacking: int) -> list[str]:
        """Return hosts for the members that lack one: even over domains, emptiest first."""
        if lacking <= 0:
            return []
        mine = self._at[demand.name]
        free = sorted(
            (h for h in demand.allowed if h not in mine and self._has_room(demand, h)),
            key=lambda h: (self._crowd[h], h),
        )
        taken = Counter(self._in_domain[demand.name])
        ranked: list[tuple[int, int, str]] = []
        for position, host in enumerate(free):
            domain = self._rooms[host].domain
            if taken[domain] < demand.per_domain:
                ranked.append((taken[domain], position, host))
                taken[domain] += 1
        return [host for _, _, host in sorted(ranked)[:lacking]]

    def _has_room(self, demand: Demand, host: str) -> bool:
        room = self._rooms[host]
        if demand.units:
            used = self._used.get((host, demand.kind), 0)
            if room.devices.get(demand.kind, 0) - used < demand.units:
                return False
        return (
            self._memory[host] + demand.memory_mib <= room.memory_mib
            and self._cpus[host] + demand.cpus <= room.cpus
        )

    def _put(self, demand: Demand, host: str) -> None:
        self._at[demand.name].add(host)
        self._in_domain[demand.name][self._rooms[host].domain] += 1
        if demand.units:
            key = (host, demand.kind)
            self._used[key] = self._used.get(key, 0) + demand.units
        self._memory[host] += demand.memory_mib
        self._cpus[host] += demand.cpus
        self._crowd[host] += 1


def _fits_devices(demands: Sequence[Demand], devices: object) -> bool:
    assert isinstance(devices, dict)
    needed: Counter[str] = Counter()
    for demand in demands:
        if demand.units:
            needed[demand.kind] += demand.units
    return all(count <= devices.get(kind, 0) for kind, count in needed.items())
