"""The search against brute force: as many members as possible, then as few moves as possible.

Small cases of every kind: mixed device counts and kinds, memory, CPUs, racks, records that no
longer hold. The quick way and the exact one are both held to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from permafrost.planning.demand import Chosen, Demand, Room, Rooms
from permafrost.planning.exact import solve
from permafrost.planning.search import assign_hosts

KINDS = ("", "10de:2330", "10de:26b9")
HOSTS = ("h0", "h1", "h2", "h3")


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Demand], dict[str, Room]]:
    """One to three groups over one to four hosts in one to three racks."""
    rooms = {
        host: Room(
            draw(st.sampled_from(["r0", "r1", "r2"])),
            {kind: draw(st.integers(0, 4)) for kind in KINDS[1:]},
            draw(st.sampled_from([40, 80, 1000])),
            draw(st.sampled_from([8, 16, 1000])),
        )
        for host in HOSTS[: draw(st.integers(1, len(HOSTS)))]
    }
    if draw(st.booleans()):
        rooms = {h: Room(h, r.devices, r.memory_mib, r.cpus) for h, r in rooms.items()}
    per_domain = draw(st.sampled_from([1, 1, 2]))
    demands = []
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        kind = draw(st.sampled_from(KINDS))
        units = draw(st.integers(1, 3)) if kind else 0
        allowed = frozenset(
            h
            for h, r in rooms.items()
            if r.devices.get(kind, 0) >= units and draw(st.sampled_from([True, True, True, False]))
        )
        kept = frozenset(h for h in sorted(allowed) if draw(st.booleans()))
        count = draw(st.integers(max(1, len(kept)), 4))
        memory, cpus = draw(st.sampled_from([10, 30, 60])), draw(st.sampled_from([2, 6, 12]))
        demands.append(Demand(name, count, kind, units, allowed, kept, memory, cpus, per_domain))
    return demands, rooms


def is_overdrawn(host: str, demands: Sequence[Demand], room: Room) -> bool:
    kept = [d for d in demands if host in d.kept]
    return (
        sum(d.memory_mib for d in kept) > room.memory_mib or sum(d.cpus for d in kept) > room.cpus
    )


def holds(demands: Sequence[Demand], rooms: Rooms, chosen: Mapping[str, Sequence[str]]) -> bool:
    """Every rule of a placement, said once more and simply."""
    for demand in demands:
        hosts = chosen[demand.name]
        if len(hosts) > demand.count or len(set(hosts)) != len(hosts):
            return False
        if not set(hosts) <= demand.allowed:
            return False
        domains = Counter(rooms[h].domain for h in hosts)
        if domains and max(domains.values()) > demand.per_domain:
            return False
    for host, room in rooms.items():
        here = [d for d in demands if host in chosen[d.name]]
        for kind in KINDS[1:]:
            if sum(d.units for d in here if d.kind == kind) > room.devices.get(kind, 0):
                return False
        if is_overdrawn(host, demands, room):
            if any(host not in d.kept for d in here):
                return False
        elif (
            sum(d.memory_mib for d in here) > room.memory_mib
            or sum(d.cpus for d in here) > room.cpus
        ):
            return False
    return True


def every_way(demands: Sequence[Demand], rooms: Rooms) -> Iterator[dict[str, tuple[str, ...]]]:
    options = [
        [some for n in range(d.count + 1) for some in combinations(sorted(d.allowed), n)]
        for d in demands
    ]
    for choice in product(*options):
        chosen = dict(zip((d.name for d in demands), choice, strict=True))
        if holds(demands, rooms, chosen):
            yield chosen


def worth(demands: Sequence[Demand], chosen: Mapping[str, Sequence[str]]) -> tuple[int, int]:
    """Members that are placed, and those of them that stay."""
    return (
        sum(len(chosen[d.name]) for d in demands),
        sum(len(d.kept & set(chosen[d.name])) for d in demands),
    )


@pytest.mark.thorough
@settings(max_examples=250, deadline=None)
@given(question=questions())
def test_nothing_better_exists(question: tuple[list[Demand], dict[str, Room]]) -> None:
    demands, rooms = question
    best = max(worth(demands, chosen) for chosen in every_way(demands, rooms))
    for way in (assign_hosts, solve):
        found = way(demands, rooms)
        assert holds(demands, rooms, found), way
        assert worth(demands, found) == best, way
    shuffled = dict(reversed(list(rooms.items())))
    assert assign_hosts(demands[::-1], shuffled) == assign_hosts(demands, rooms)


@settings(max_examples=100, deadline=None)
@given(question=questions())
def test_what_was_found_stays(question: tuple[list[Demand], dict[str, Room]]) -> None:
    demands, rooms = question
    found: Chosen = assign_hosts(demands, rooms)
    again = [
        Demand(d.name, d.count, d.kind, d.units, d.allowed, frozenset(found[d.name]),
               d.memory_mib, d.cpus, d.per_domain)
        for d in demands
    ]  # fmt: skip
    if all(len(found[d.name]) == d.count for d in demands):
        assert assign_hosts(again, rooms) == found
