"""A change of slots that failed half way: what may come after it, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.engine.runs import RunState
from permafrost.errors import Failed, PermafrostError, Refused
from permafrost.planning.upgrade import Strategy, Wish
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.recovery import (
    abort_run,
    require_nothing_unfinished,
    require_turn,
    resume_run,
    run_named,
)
from permafrost.runbook.undrain import undrain_replica
from permafrost.runbook.upgrade import retire, upgrade
from tests.fakes.killing import KillAt
from tests.fakes.site import context, small_site
from tests.fakes.world import Cut, World

OLD, NEW = ("sha256:" + c * 64 for c in "bd")
ME = "operator:me"
MEMBERS = [f"lab-pulse-0{i}" for i in (1, 2, 3, 4)]


@pytest.fixture
def world() -> World:
    keys = {"replicas": 4, "min_ready": 2, "drain_deadline_s": 5}
    return World.of(small_site(pulse=keys), hosts=4)


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """One replica of four was moved to the other slot and did not prove itself there."""
    ctx = context(tmp_path / "state", world)
    world.wrong.add(NEW)
    with pytest.raises(Failed, match="PROBE_FAILED"):
        upgrade(ctx, "pulse", NEW, Wish(ME, way=Strategy.CUT_OVER))
    world.wrong.clear()
    return ctx


def drain_another(ctx: Context) -> None:
    drain_replica(ctx, MEMBERS[2], owner=ME)
    undrain_replica(ctx, MEMBERS[2], owner=ME)


def undrain_the_moved_one(ctx: Context) -> None:
    with pytest.raises(Failed, match="PROBE_FAILED"):
        undrain_replica(ctx, MEMBERS[0], owner=ME)


@pytest.mark.parametrize("between", [drain_another, undrain_the_moved_one])
def test_it_can_be_taken_back_whatever_was_drained_since(
    ctx: Context, world: World, between: Callable[[Context], None]
) -> None:
    """The way back is planned from what is seen: only another change of slots is later."""
    operation = ctx.store.runs.all(1)[0].operation
    between(ctx)
    with pytest.raises(Refused, match="OPERATION_SUPERSEDED") as caught:
        resume_run(ctx, operation)
    assert f"permafrost abort {operation}" in caught.value.problems[0].hint
    abort_run(ctx, operation)
    assert run_named(ctx, operation).state is RunState.ABORTED
    assert world.serving("pulse") == set(MEMBERS)
    assert world.answers("pulse") == {OLD}


def test_what_holds_one_slot_alone_is_not_emptied(ctx: Context, world: World) -> None:
    done = list(world.effects)
    with pytest.raises(Refused, match="RETIRE_LEAVES_NOTHING") as caught:
        retire(ctx, "pulse", owner=ME)
    assert [p.path for p in caught.value.problems] == [MEMBERS[0]]
    assert world.effects == done


@pytest.mark.parametrize("command", ["retire pulse", "rollback pulse"])
def test_other_changes_of_its_slots_wait_for_it(ctx: Context, command: str) -> None:
    operation = ctx.store.runs.all(1)[0].operation
    with pytest.raises(Refused, match="OPERATION_UNFINISHED") as caught:
        require_turn(ctx, command)
    assert caught.value.problems[0].path == operation
    for another in ("retire chat", "drain lab-pulse-03", "maintenance enter lab-esx-03"):
        require_turn(ctx, another)
    abort_run(ctx, operation)
    require_turn(ctx, command)


def test_a_change_of_slots_that_came_later_has_the_last_word(ctx: Context, world: World) -> None:
    first = ctx.store.runs.all(1)[0].operation
    abort_run(ctx, first)
    world.wrong.add(NEW)
    with pytest.raises(Failed):
        upgrade(ctx, "pulse", NEW, Wish(ME, way=Strategy.CUT_OVER))
    with pytest.raises(PermafrostError, match="OPERATION_OVER"):
        abort_run(ctx, first)


def test_what_was_overruled_is_ended_by_its_own_command(ctx: Context) -> None:
    """Neither verb has it any more: it would stand in everybody's way if that did not end it."""
    ctx.crash = KillAt(2)
    with pytest.raises(Cut):
        drain_replica(ctx, MEMBERS[2], owner=ME)
    ctx.crash = KillAt()
    operation = ctx.store.runs.all(1)[0].operation
    undrain_replica(ctx, MEMBERS[2], owner=ME)
    for verb in (resume_run, abort_run):
        with pytest.raises(Refused, match="OPERATION_SUPERSEDED") as caught:
            verb(ctx, operation)
        assert f"`permafrost drain {MEMBERS[2]}` ends" in caught.value.problems[0].hint
    require_nothing_unfinished(ctx, f"drain {MEMBERS[2]}")
    assert ctx.store.runs.unfinished() == ()
