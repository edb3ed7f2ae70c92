"""The placement as a mixed-integer program, solved by HiGHS (docs/adr, the solver's choice).

One 0/1 variable says that a group has a member on a host. Rows: members asked for, members in
one failure domain, devices of each kind, memory and CPUs of each host. The objective counts
members first and kept places second, so one solution answers three questions: whether all can be
placed, with how few moves, and, where not, what the nearest possible is.

Hosts that are alike and hold nothing of ours are interchangeable: of each kind of host no more
are looked at than there are members to place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from permafrost.errors import Failed, Problem
from permafrost.planning.demand import Chosen, Demand, Room, Rooms

MOST_NODES = 20_000
"""Branches that the solver may look at: a bound that does not depend on the machine's speed."""


def solve(demands: Sequence[Demand], rooms: Rooms) -> Chosen:
    """Return hosts for as many members as possible, with as few moves as possible.

    Raises Failed (PLACEMENT_UNDECIDED) when the solver found no proof within its bound.
    """
    usable = _representatives(demands, rooms)
    pairs = [
        (demand, host)
        for demand in demands
        for host in sorted(demand.allowed & usable.keys())
        if host in demand.kept or _fits_alone(demand, host, usable[host], demands)
    ]
    chosen: dict[str, list[str]] = {d.name: [] for d in demands}
    if pairs:
        program = _program(demands, usable, pairs)
        for (demand, host), taken in zip(pairs, _run(program), strict=True):
            if taken:
                chosen[demand.name].append(host)
    return {name: tuple(sorted(hosts)) for name, hosts in chosen.items()}


@dataclass(slots=True)
class _Program:
    """Rows as (largest sum, variables, coefficients); every variable is 0 or 1."""

    gains: list[int]
    rows: list[tuple[int, list[int], list[int]]] = field(default_factory=list)


def _representatives(demands: Sequence[Demand], rooms: Rooms) -> dict[str, Room]:
    """Leave out hosts beyond the number that could be used of their kind."""
    members = sum(d.count for d in demands)
    by_host = not any(d.per_domain > 1 for d in demands) and all(
        room.domain == host for host, room in rooms.items()
    )
    seen: dict[tuple[object, ...], int] = {}
    found: dict[str, Room] = {}
    for host in sorted(rooms):
        room = rooms[host]
        allowed = tuple(d.name for d in demands if host in d.allowed)
        if not allowed:
            continue
        if any(host in d.kept for d in demands):
            found[host] = room
            continue
        kind = (
            "" if by_host else room.domain,
            allowed,
            tuple(sorted(room.devices.items())),
            room.memory_mib,
            room.cpus,
        )
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= members:
            found[host] = room
    return found


def _is_overdrawn(host: str, room: Room, demands: Sequence[Demand]) -> bool:
    kept = [d for d in demands if host in d.kept]
    return (
        sum(d.memory_mib for d in kept) > room.memory_mib or sum(d.cpus for d in kept) > room.cpus
    )


def _fits_alone(demand: Demand, host: str, room: Room, demands: Sequence[Demand]) -> bool:
    return (
        not _is_overdrawn(host, room, demands)
        and demand.memory_mib <= room.memory_mib
        and demand.cpus <= room.cpus
        and room.devices.get(demand.kind, 0) >= demand.units
    )


def _program(
    demands: Sequence[Demand], rooms: Rooms, pairs: Sequence[tuple[Demand, str]]
) -> _Program:
    # One member more outweighs every place that could be kept.
    member = 1 + sum(len(d.kept) for d in demands)
    program = _Program([member + (host in demand.kept) for demand, host in pairs])
    of_group: dict[str, list[int]] = {}
    in_domain: dict[tuple[str, str], list[int]] = {}
    on_host: dict[str, list[int]] = {}
    for i, (demand, host) in enumerate(pairs):
        of_group.setdefault(demand.name, []).append(i)
        in_domain.setdefault((demand.name, rooms[host].domain), []).append(i)
        on_host.setdefault(host, []).append(i)
    counts = {d.name: d for d in demands}
    for name, some in of_group.items():
        program.rows.append((counts[name].count, some, [1] * len(some)))
    for (name, _), some in in_domain.items():
        if len(some) > counts[name].per_domain:
            program.rows.append((counts[name].per_domain, some, [1] * len(some)))
    for host, some in on_host.items():
        _host_rows(program, rooms[host], some, pairs, _is_overdrawn(host, rooms[host], demands))
    return program


def _host_rows(
    program: _Program,
    room: Room,
    some: list[int],
    pairs: Sequence[tuple[Demand, str]],
    is_overdrawn: bool,
) -> None:
    kinds = sorted({pairs[i][0].kind for i in some if pairs[i][0].units})
    limits = [
        (room.devices.get(kind, 0), [pairs[i][0].units * (pairs[i][0].kind == kind) for i in some])
        for kind in kinds
    ]
    if not is_overdrawn:
        limits.append((room.memory_mib, [pairs[i][0].memory_mib for i in some]))
        limits.append((room.cpus, [pairs[i][0].cpus for i in some]))
    for limit, coefficients in limits:
        if sum(coefficients) > limit:
            used = [(i, c) for i, c in zip(some, coefficients, strict=True) if c]
            program.rows.append((limit, [i for i, _ in used], [c for _, c in used]))


def _run(program: _Program) -> list[bool]:
    # Here, not above: most plans need no solver, and it takes a tenth of a second to import.
    import highspy

    count = len(program.gains)
    model: Any = highspy.HighsLp()
    model.num_col_, model.num_row_ = count, len(program.rows)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = [float(gain) for gain in program.gains]
    model.col_lower_, model.col_upper_ = [0.0] * count, [1.0] * count
    model.row_lower_ = [-highspy.kHighsInf] * len(program.rows)
    model.row_upper_ = [float(limit) for limit, _, _ in program.rows]
    model.integrality_ = [highspy.HighsVarType.kInteger] * count
    starts, indices, values = [0], [], []
    for _, variables, coefficients in program.rows:
        indices += variables
        values += [float(c) for c in coefficients]
        starts.append(len(indices))
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_ = starts, indices
    model.a_matrix_.value_ = values
    make: Any = highspy.Highs
    solver = make()
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("mip_rel_gap", 0.0),
        ("mip_abs_gap", 0.5),
        ("mip_max_nodes", MOST_NODES),
    ):
        solver.setOptionValue(option, value)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise Failed(
            Problem(
                "PLACEMENT_UNDECIDED",
                f"no placement was found or ruled out among {MOST_NODES} branches of the search",
                hint="free some hosts, or lower replicas: the site is too full to decide",
            )
        )
    return [value > 0.5 for value in solver.getSolution().col_value]
