"""A change of slots that failed half way: what may come after it, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.engine.runs import RunState
from permafrost.errors import Failed, PermafrostError, Refused
from permafrost.planning.canary import Canary
from permafrost.planning.steps import OperationStep
from permafrost.planning.upgrade import Wish
from permafrost.planning.upgrade_words import Strategy
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
from permafrost.runbook.upgrade import retire, rollback, upgrade
from tests.fakes.killing import KillAt, another_process
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
    drain_replica(ctx, MEMBERS[2], owner=ME)
    assert ctx.store.runs.unfinished() == ()


BESIDE = Wish(ME, way=Strategy.SIDE_BY_SIDE)
CANARY = Wish(ME, way=Strategy.SIDE_BY_SIDE, canary=Canary(100, seconds=5, least_requests=2))


def killed_before_its_switch(_: str, step: OperationStep, when: str) -> None:
    if step.kind == "cut-over" and when == "before":
        raise Cut


def ends_with_a_share_given(ctx: Context, world: World) -> Context:
    ctx.crash = killed_before_its_switch
    with pytest.raises(Cut):
        upgrade(ctx, "pulse", NEW, CANARY)
    assert ctx.release("pulse").share == 100
    world.wrong.add(NEW)
    return another_process(ctx, world)


def fails_at_its_first_replica(ctx: Context, world: World) -> Context:
    world.wrong.add(NEW)
    with pytest.raises(Failed, match="PROBE_FAILED"):
        upgrade(ctx, "pulse", NEW, BESIDE)
    return ctx


def held_by(world: World) -> list[dict[str, str]]:
    """Return what each replica's slots are to load."""
    found = [{s: world.slot_state(name, s)[1] for s in "ab"} for name in MEMBERS]
    return [{s: digest for s, digest in slots.items() if digest} for slots in found]


@pytest.mark.parametrize("first", [fails_at_its_first_replica, ends_with_a_share_given])
def test_what_was_begun_again_is_taken_back_with_what_it_began_from(
    tmp_path: Path, world: World, first: Callable[[Context, World], Context]
) -> None:
    """A slot that some replicas have, or a share that nobody watches, is no state to go back to.

    No other command could end it: only the latest change of slots can be taken back.
    """
    ctx = first(context(tmp_path / "state", world), world)
    require_nothing_unfinished(ctx, "upgrade pulse")
    with pytest.raises(Failed, match="PROBE_FAILED"):
        upgrade(ctx, "pulse", NEW, BESIDE)
    abort_run(ctx, ctx.store.runs.all(1)[0].operation)
    held = ctx.release("pulse")
    assert (dict(held.slots), held.open, held.share) == ({"a": OLD}, ("a",), 0)
    assert held_by(world) == [{"a": OLD}] * len(MEMBERS)
    for told in world.routes.values():
        assert told.keys().isdisjoint({"pulse/share", f"pulse@{NEW}"})
    assert world.answers("pulse") == {OLD}


@pytest.mark.parametrize("begun", [fails_at_its_first_replica, ends_with_a_share_given])
def test_control_a_proven_way_back_is_kept(
    tmp_path: Path, world: World, begun: Callable[[Context, World], Context]
) -> None:
    """What every replica has loaded and proven was there before the upgrade: it stays."""
    ctx = context(tmp_path / "state", world)
    upgrade(ctx, "pulse", NEW, BESIDE)
    rollback(ctx, "pulse", owner=ME)
    before = ctx.release("pulse")
    ctx = begun(ctx, world)
    abort_run(ctx, ctx.store.runs.all(1)[0].operation)
    after = ctx.release("pulse")
    assert (after.live, after.slots, after.open) == (before.live, before.slots, before.open)
    assert after.share == 0
    assert held_by(world) == [dict(before.slots)] * len(MEMBERS)
    assert world.answers("pulse") == {OLD}


def test_a_share_that_nobody_watches_ends_as_the_upgrade_is_begun_again(
    tmp_path: Path, world: World
) -> None:
    """Its slot is proven anew, and nobody is sent there meanwhile."""
    ctx = ends_with_a_share_given(context(tmp_path / "state", world), world)
    require_nothing_unfinished(ctx, "upgrade pulse")
    shares: list[int] = []
    world.watchers.append(
        lambda what, _: shares.append(ctx.release("pulse").share) if "probe" in what else None
    )
    with pytest.raises(Failed, match="PROBE_FAILED"):
        upgrade(ctx, "pulse", NEW, CANARY)
    assert shares == [0]
    assert not any("pulse/share" in told for told in world.routes.values())


@pytest.mark.parametrize("moment", range(14))
def test_a_retirement_begun_again_empties_what_the_killed_one_left(
    tmp_path: Path, world: World, moment: int
) -> None:
    """Its first step records that the slot is empty: there is nothing to retire by the record."""
    ctx = context(tmp_path / "state", world)
    upgrade(ctx, "pulse", NEW, BESIDE)
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        retire(ctx, "pulse", owner=ME)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    require_nothing_unfinished(after, "retire pulse")
    retire(after, "pulse", owner=ME)
    assert held_by(world) == [{"b": NEW}] * len(MEMBERS)
    assert after.store.runs.unfinished() == ()
    assert run_named(after, run.operation).state.is_over
