"""A rack taken away and brought back: six hosts in three racks, replicas apart by rack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from permafrost.engine.runs import RunState
from permafrost.errors import Refused
from permafrost.planning.lifecycle import MaintenanceState
from permafrost.planning.steps import OperationPlan, OperationStep
from permafrost.runbook.context import Context
from permafrost.runbook.execution import carry_out
from permafrost.runbook.maintenance import enter, leave, preview_enter, preview_exit
from permafrost.runbook.recovery import (
    abort_run,
    require_nothing_unfinished,
    require_turn,
    resume_run,
    run_named,
)
from permafrost.site.model import Site
from tests.acceptance.kills import RACK as LIVE
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import document, placed_context
from tests.fakes.world import Cut, World

RACKS = {f"lab-esx-{n:02}": f"rack-{'abc'[(n - 1) // 2]}" for n in range(1, 7)}
RACK = "rack-a"
OURS = {host for host, rack in RACKS.items() if rack == RACK}
ME = "operator:me"


def site_in_racks() -> Site:
    values = document()
    values["failure_domains"] = {"level": "rack"}
    values["hosts"] = {host: {"rack": rack} for host, rack in RACKS.items()}
    values["edge"] = {**values.get("edge", {}), "nodes": 2, "vip": "10.64.1.10"}
    return Site.model_validate(values)


@pytest.fixture
def world() -> World:
    world = World.of(site_in_racks(), hosts=6)
    world.watchers.append(lambda what, target: judge(world, what, target))
    return world


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def judge(world: World, what: str, target: str) -> None:
    """Two of three serve at every effect; no host of another rack is closed."""
    for endpoint in ("chat", "pulse"):
        assert len(world.serving(endpoint)) >= 2, f"{what} {target}: {endpoint}"
    closed = {h.name for h in world.hosts.values() if h.in_maintenance}
    assert closed <= OURS
    if what == "enter-maintenance":
        assert target in OURS


def is_away(ctx: Context, world: World) -> bool:
    records = {r.host: r for r in ctx.store.maintenance.all()}
    return (
        {h.name for h in world.hosts.values() if h.in_maintenance} == OURS
        and not any(m.is_on for m in world.machines.values() if m.host in OURS)
        and set(records) == OURS
        and {(r.name, r.state) for r in records.values()} == {(RACK, MaintenanceState.IN)}
    )


def is_back(ctx: Context, world: World, stood: dict[str, str]) -> bool:
    return (
        not any(h.in_maintenance for h in world.hosts.values())
        and ctx.store.maintenance.all() == ()
        and all(len(world.serving(e)) == 3 for e in ("chat", "pulse"))
        and {m.name: m.host for m in world.machines.values()} == stood
    )


def standing(world: World) -> dict[str, str]:
    return {m.name: m.host for m in world.machines.values()}


def test_replicas_stand_in_racks_of_their_own(world: World) -> None:
    for endpoint in ("chat", "pulse"):
        racks = [
            RACKS[m.host] for n, m in world.machines.items() if n.startswith(f"lab-{endpoint}")
        ]
        assert sorted(racks) == ["rack-a", "rack-b", "rack-c"]


def test_a_rack_goes_and_comes_back_and_no_other_goes_meanwhile(
    ctx: Context, world: World
) -> None:
    stood = standing(world)
    made: OperationPlan = preview_enter(ctx, RACK, owner=ME)
    assert {s.target for s in made.steps if s.kind == "enter-maintenance-mode"} == OURS
    enter(ctx, RACK, owner=ME, shown=made.fingerprint)
    assert is_away(ctx, world)
    with pytest.raises(Refused, match="OTHER_MAINTENANCE"):
        enter(ctx, "rack-b", owner=ME)
    with pytest.raises(Refused, match="OTHER_MAINTENANCE"):
        enter(ctx, "lab-esx-03", owner=ME)
    leave(ctx, RACK, owner=ME)
    assert is_back(ctx, world, stood)


@pytest.mark.parametrize(
    ("settings", "moves"),
    [({}, 0), ({"drs_automation": "manual"}, 1), ({"drs_enabled": False}, 1)],
    ids=["DRS moves by itself", "DRS by hand", "DRS off"],
)
def test_an_edge_of_the_rack_is_moved_by_whoever_can(
    ctx: Context, world: World, settings: dict[str, Any], moves: int
) -> None:
    """DRS, as the hosts close: it would bring back what is moved out before. Else we do."""
    world.cluster = replace(world.cluster, **settings)
    made: OperationPlan = preview_enter(ctx, RACK, owner=ME)
    assert sum(s.kind == "move-vm" for s in made.steps) == moves
    enter(ctx, RACK, owner=ME)
    assert is_away(ctx, world)


def test_one_host_of_a_rack_does_not_keep_its_rack_from_going(ctx: Context, world: World) -> None:
    """What is away already is in the same failure domain."""
    stood = standing(world)
    enter(ctx, "lab-esx-01", owner=ME)
    enter(ctx, RACK, owner=ME)
    assert {h.name for h in world.hosts.values() if h.in_maintenance} == OURS
    leave(ctx, RACK, owner=ME)
    assert is_back(ctx, world, stood)


def test_its_kinds_of_steps_are_those_that_are_killed_live(ctx: Context, world: World) -> None:
    """And on the way back the move of an edge, where DRS has not made it."""
    assert kinds(preview_enter(ctx, RACK, owner=ME)) == LIVE["enter"]
    enter(ctx, RACK, owner=ME)
    assert kinds(preview_exit(ctx, RACK, owner=ME)) == LIVE["exit"]


def kinds(plan: OperationPlan) -> list[str]:
    """Return the kinds of a plan's steps, each where it comes first."""
    return list(dict.fromkeys(step.kind for step in plan.steps))


def test_killed_as_its_second_host_goes_it_is_not_left_before_that_has_an_end(
    ctx: Context, world: World
) -> None:
    stood = standing(world)
    ctx.crash = at_the_second("enter-maintenance-mode")
    with pytest.raises(Cut):
        enter(ctx, RACK, owner=ME)
    assert sum(h.in_maintenance for h in world.hosts.values()) == 1
    again = another_process(ctx, world)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        require_turn(again, f"maintenance exit {RACK}")
    enter(again, RACK, owner=ME)
    assert is_away(again, world)
    again.crash = at_the_second("exit-maintenance-mode")
    with pytest.raises(Cut):
        leave(again, RACK, owner=ME)
    assert sum(h.in_maintenance for h in world.hosts.values()) == 1
    leave(another_process(again, world), RACK, owner=ME)
    assert is_back(again, world, stood)


def at_the_second(kind: str, when: str = "before") -> Callable[[str, OperationStep, str], None]:
    """Return what kills a process at its second step of a kind."""
    seen: list[str] = []

    def crash(_: str, step: OperationStep, moment: str) -> None:
        if (step.kind, moment) == (kind, when):
            seen.append(step.id)
            if len(seen) == 2:
                raise Cut

    return crash


MOMENTS = [
    pytest.param(m, marks=[] if m % 9 == 4 else pytest.mark.soak, id=str(m)) for m in range(60)
]


def begin_again(ctx: Context, way: str) -> None:
    """Do what the same command does once more: it is its turn, its plan is made and done."""
    command = f"maintenance {way} {RACK}"
    require_turn(ctx, command)
    made = (preview_enter if way == "enter" else preview_exit)(ctx, RACK, owner=ME)
    require_nothing_unfinished(ctx, command)
    carry_out(ctx, made, owner=ME)


def test_an_exit_killed_at_its_very_end_is_ended_by_the_same_command(
    ctx: Context, world: World
) -> None:
    """Nothing is recorded any more, and the operation would wait for an end."""
    stood = standing(world)
    enter(ctx, RACK, owner=ME)
    ctx.crash = at_the_second("forget-maintenance", "after")
    with pytest.raises(Cut):
        leave(ctx, RACK, owner=ME)
    again = another_process(ctx, world)
    begin_again(again, "exit")
    assert again.store.runs.unfinished() == ()
    assert is_back(again, world, stood)
    with pytest.raises(Refused, match="NOT_IN_MAINTENANCE"):
        begin_again(again, "exit")


@pytest.mark.thorough
@pytest.mark.parametrize("verb", ["resume", "abort", "again"])
@pytest.mark.parametrize("way", ["enter", "exit"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_moment(
    ctx: Context, world: World, moment: int, way: str, verb: str
) -> None:
    stood = standing(world)
    if way == "exit":
        enter(ctx, RACK, owner=ME)
    ctx.crash = KillAt(moment)
    try:
        (enter if way == "enter" else leave)(ctx, RACK, owner=ME)
    except Cut:
        again = another_process(ctx, world)
        operation = again.store.runs.all(1)[0].operation
        if verb == "again":
            begin_again(again, way)
        else:
            {"resume": resume_run, "abort": abort_run}[verb](again, operation)
            state = run_named(again, operation).state
            assert state is (RunState.DONE if verb == "resume" else RunState.ABORTED)
        assert again.store.runs.unfinished() == ()
        gone = (way == "enter") == (verb != "abort")
        assert is_away(again, world) if gone else is_back(again, world, stood)
    else:
        assert moment >= 20, "there are no more moments"
