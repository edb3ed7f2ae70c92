"""The steps at which live commands are killed are those that their plans have, all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from permafrost.engine.runs import RunState
from permafrost.planning.canary import canary_of
from permafrost.planning.maintenance_steps import HostStep
from permafrost.planning.slot_steps import SlotStep
from permafrost.planning.steps import OperationPlan, OperationStep
from permafrost.planning.upgrade import Wish
from permafrost.planning.upgrade_words import Strategy
from permafrost.runbook.actions import HOST, REPLICA, SLOT
from permafrost.runbook.context import Context
from permafrost.runbook.maintenance import enter, leave, preview_enter, preview_exit
from permafrost.runbook.recovery import resume_run
from permafrost.runbook.upgrade import preview_upgrade, upgrade
from tests.acceptance.kills import (
    BESIDE,
    IN_AND_OUT,
    MAINTENANCE,
    NOT_IN_THEM,
    PERHAPS_TRUE,
    ROLLING,
)
from tests.fakes.killing import another_process
from tests.fakes.site import placed_context
from tests.fakes.world import Cut, World

ESX, ME, NEW = "lab-esx-01", "operator:me", "sha256:" + "d" * 64
ROLL = Wish(ME, allow_mixed=True, way=Strategy.ROLLING, canary=canary_of(20, 30), pins_s=5)


def kinds(plan: OperationPlan) -> list[str]:
    """Return the kinds of a plan's steps, each where it comes first."""
    return list(dict.fromkeys(step.kind for step in plan.steps))


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def test_of_a_maintenance(ctx: Context) -> None:
    assert kinds(preview_enter(ctx, ESX, owner=ME)) == MAINTENANCE["enter"]
    enter(ctx, ESX, owner=ME)
    assert kinds(preview_exit(ctx, ESX, owner=ME)) == MAINTENANCE["exit"]


def test_of_an_upgrade(ctx: Context) -> None:
    assert kinds(preview_upgrade(ctx, "pulse", NEW, Wish(ME))) == BESIDE
    assert kinds(preview_upgrade(ctx, "pulse", NEW, ROLL)) == ROLLING


def test_no_kind_is_forgotten() -> None:
    """A new kind of step fails here until it is killed live, or said to be in none of them."""
    known = {*(k for steps in MAINTENANCE.values() for k in steps), *BESIDE, *ROLLING}
    assert {way_in for way_in, _ in IN_AND_OUT} <= set(MAINTENANCE["enter"])
    assert {way_out for _, way_out in IN_AND_OUT} <= set(MAINTENANCE["exit"])
    assert {*HOST, *REPLICA, *SLOT} == known | NOT_IN_THEM
    assert {*map(str, HostStep), *map(str, SlotStep)} <= known | NOT_IN_THEM


def killed_in_turn(
    ctx: Context, world: World, steps: Sequence[str], begin: Callable[[Context], object]
) -> RunState:
    """Begin an operation; each process is killed before the next kind of step; finish it."""

    def cut_before(kind: str) -> Callable[[str, OperationStep, str], None]:
        def crash(_: str, step: OperationStep, moment: str) -> None:
            if (step.kind, moment) == (kind, "before"):
                raise Cut

        return crash

    ctx.crash = cut_before(steps[0])
    with pytest.raises(Cut):
        begin(ctx)
    operation = ctx.store.runs.all(1)[0].operation
    for kind in steps[1:]:
        ctx = another_process(ctx, world)
        ctx.crash = cut_before(kind)
        with pytest.raises(Cut):
            resume_run(ctx, operation)
    ctx = another_process(ctx, world)
    resume_run(ctx, operation)
    (latest,) = ctx.store.runs.all(1)
    assert latest.operation == operation, "one operation all the while"
    return latest.state


@pytest.mark.parametrize("verb", ["enter", "exit"])
def test_a_maintenance_can_be_killed_at_one_kind_after_the_other(
    verb: str, ctx: Context, world: World
) -> None:
    if verb == "exit":
        enter(ctx, ESX, owner=ME)
    work = enter if verb == "enter" else leave
    state = killed_in_turn(ctx, world, MAINTENANCE[verb], lambda c: work(c, ESX, owner=ME))
    assert state is RunState.DONE
    assert world.hosts[ESX].in_maintenance is (verb == "enter")


def test_a_rolling_upgrade_can_be_killed_at_one_kind_after_the_other(
    ctx: Context, world: World
) -> None:
    steps = [kind for kind in ROLLING if kind not in PERHAPS_TRUE]
    state = killed_in_turn(ctx, world, steps, lambda c: upgrade(c, "pulse", NEW, ROLL))
    assert state is RunState.DONE
    assert another_process(ctx, world).release("pulse").slots == {"b": NEW}
