"""Maintenance of a host with a replica whose VM is off: that is left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.engine.state import DeclaredState
from permafrost.runbook.context import Context
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.recovery import abort_run
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import placed_context
from tests.fakes.world import Cut, World

HOST, OFF = "lab-esx-01", "lab-chat-01"
ME = "operator:me"


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    made = placed_context(tmp_path / "state", world)
    world.rate_per_tick = 0
    assert world.machines[OFF].host == HOST
    world.power_off(OFF)
    return made


def is_as_before(ctx: Context, world: World, state: DeclaredState) -> bool:
    return (
        ctx.store.maintenance.all() == ()
        and not world.hosts[HOST].in_maintenance
        and ctx.store.declared()[OFF].state is state
        and not world.machines[OFF].is_on
        and len(world.serving("pulse")) == 3
    )


@pytest.mark.parametrize("state", [DeclaredState.ADMITTED, DeclaredState.OUT])
def test_a_replica_that_was_off_before_is_not_waited_for(
    ctx: Context, world: World, state: DeclaredState
) -> None:
    ctx.store.declare(OFF, state, owner=ME)
    enter(ctx, HOST, owner=ME)
    assert world.hosts[HOST].in_maintenance
    leave(ctx, HOST, owner=ME)
    assert is_as_before(ctx, world, state)
    world.power_on(OFF)
    world.pass_time(5)
    assert OFF in world.serving("chat")


def test_nor_is_it_where_the_maintenance_was_killed_and_taken_back(
    ctx: Context, world: World
) -> None:
    ctx.crash = count = KillAt()
    enter(ctx, HOST, owner=ME)
    leave(ctx, HOST, owner=ME)
    for moment in range(count.passed):
        ctx.crash = KillAt(moment)
        try:
            enter(ctx, HOST, owner=ME)
        except Cut:
            ctx = another_process(ctx, world)
            abort_run(ctx, ctx.store.runs.all(1)[0].operation)
        else:
            ctx.crash = KillAt()
            leave(ctx, HOST, owner=ME)
        assert is_as_before(ctx, world, DeclaredState.ADMITTED), f"killed at {moment}"


def test_one_that_an_earlier_try_shut_down_comes_back(ctx: Context, world: World) -> None:
    world.power_on(OFF)
    world.pass_time(5)
    ctx.crash = lambda command, step, when: cut_after(step.kind, step.target, when)
    with pytest.raises(Cut):
        enter(ctx, HOST, owner=ME)
    assert not world.machines[OFF].is_on
    after = another_process(ctx, world)
    enter(after, HOST, owner=ME)
    leave(after, HOST, owner=ME)
    assert len(world.serving("chat")) == 3


def cut_after(kind: str, target: str, when: str) -> None:
    if (kind, target, when) == ("shut-down", OFF, "after"):
        raise Cut
