"""A forced switch back that was killed: taken back under its level, or begun again."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

import pytest

from permafrost.engine.runs import RunState
from permafrost.errors import PermafrostError
from permafrost.planning.force import Force
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_for
from permafrost.runbook.recovery import (
    abort_run,
    preview_abort,
    require_nothing_unfinished,
    run_named,
)
from permafrost.runbook.status import read_status
from permafrost.runbook.upgrade import rollback
from tests.fakes.killing import KillAt, another_process
from tests.fakes.world import Cut, World
from tests.unit.runbook.test_force_rollback import (
    AWAY,
    HERE,
    ME,
    NEW,
    OLD,
    PULSE,
    ctx,
    live_on,
    told,
    world,
)

__all__ = ["ctx", "world"]


def cut_off(ctx: Context, world: World, moment: int, force: Force) -> tuple[Context, str]:
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        rollback(ctx, "pulse", owner=ME, force=force)
    after = another_process(ctx, world)
    return after, after.store.runs.all(1)[0].operation


@pytest.mark.parametrize("moment", [0, 1])
def test_it_is_taken_back_on_the_edges_that_answer(
    ctx: Context, world: World, moment: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Under the level that it began with; who is silent goes on as it was told."""
    world.edges_down.add(AWAY)
    after, operation = cut_off(ctx, world, moment, Force.UNSEEN)
    waived = f"edges that do not answer: {AWAY}"
    made = preview_abort(after, operation)
    assert f"waived: {waived}" in made.notes
    assert any(f"`permafrost converge {AWAY}`" in note for note in made.notes)
    with caplog.at_level(logging.WARNING):
        abort_run(after, operation, shown=made.fingerprint)
    assert f"force unseen of {ME}: {waived}" in caplog.text
    assert told(after) == ("unseen", [waived])
    assert (live_on(world, HERE), after.release("pulse").live) == ("b", "b")
    world.edges_down.clear()
    assert world.answers("pulse") == {NEW}
    assert after.store.runs.get(operation).state is RunState.ABORTED  # type: ignore[union-attr]


@pytest.mark.parametrize("moment", range(5))
def test_a_killed_way_back_goes_on_under_that_level(
    ctx: Context, world: World, moment: int
) -> None:
    world.edges_down.add(AWAY)
    after, operation = cut_off(ctx, world, 1, Force.UNSEEN)
    after.crash = KillAt(moment)
    with suppress(Cut):
        abort_run(after, operation)
    last = another_process(after, world)
    if not last.store.runs.get(operation).state.is_over:  # type: ignore[union-attr]
        abort_run(last, operation)
    assert live_on(world, HERE) == "b"
    assert last.store.runs.get(operation).state is RunState.ABORTED  # type: ignore[union-attr]


def test_an_edge_that_was_told_and_fell_silent_is_named_once_it_answers(
    ctx: Context, world: World
) -> None:
    after, operation = cut_off(ctx, world, 1, Force.UNSEEN)
    world.edges_down.add(AWAY)
    abort_run(after, operation)
    assert (live_on(world, HERE), live_on(world, AWAY)) == ("b", "a")
    world.edges_down.clear()
    assert "sends pulse to slot a, live is b" in json.dumps(read_status(after).as_dict())
    converge_for(after, AWAY, owner=ME)
    assert world.answers("pulse") == {NEW}


def test_replicas_that_were_waived_are_waived_on_the_way_back(ctx: Context, world: World) -> None:
    """Fewer than must have the slot of before ready by then, at no fault of ours."""
    world.machines[PULSE[0]].state = "OUT"
    after, operation = cut_off(ctx, world, 1, Force.DEGRADED)
    for name in PULSE[1:]:
        world.machines[name].beside.state = "OUT"  # type: ignore[union-attr]
    abort_run(after, operation)
    assert live_on(world, HERE) == "b"


@pytest.mark.parametrize("level", [Force.DEGRADED, Force.OUTAGE])
def test_a_level_that_does_not_leave_edges_names_them_and_what_to_do(
    ctx: Context, world: World, level: Force
) -> None:
    after, operation = cut_off(ctx, world, 1, level)
    world.edges_down.add(AWAY)
    (run,) = after.store.runs.unfinished()
    with pytest.raises(PermafrostError, match="EDGE_UNREACHABLE") as refused:
        abort_run(after, operation)
    (problem,) = refused.value.problems
    assert problem.path == AWAY
    assert f"`permafrost converge {AWAY}`" in problem.hint
    assert after.store.runs.unfinished() == (run,), "a refusal changes nothing"
    # Both ways that the hint names.
    require_nothing_unfinished(after, "rollback pulse")
    rollback(after, "pulse", owner=ME, force=Force.UNSEEN)
    assert run_named(after, operation).continued_by
    world.edges_down.clear()
    converge_for(after, AWAY, owner=ME)
    assert world.answers("pulse") == {OLD}


@pytest.mark.parametrize("moment", [0, 1])
@pytest.mark.parametrize("away", [False, True])
def test_begun_again_it_goes_where_it_went(
    ctx: Context, world: World, moment: int, away: bool
) -> None:
    """Not back to what harms, also where the switch was made and only its end not written."""
    if away:
        world.edges_down.add(AWAY)
    after, operation = cut_off(ctx, world, moment, Force.UNSEEN)
    require_nothing_unfinished(after, "rollback pulse")
    rollback(after, "pulse", owner=ME, force=Force.UNSEEN)
    assert (live_on(world, HERE), after.release("pulse").live) == ("a", "a")
    assert after.store.runs.unfinished() == ()
    assert run_named(after, operation).state.is_over
    rollback(after, "pulse", owner=ME, force=Force.UNSEEN)
    assert live_on(world, HERE) == "b", "the control: once it is over, the other way"


def test_begun_again_and_taken_back_is_all_of_it(ctx: Context, world: World) -> None:
    of_before = dict(world.routes[AWAY])
    after, first = cut_off(ctx, world, 1, Force.UNSEEN)
    assert after.release("pulse").live == "a"
    world.routes[AWAY] = of_before  # made anew, say
    last, operation = cut_off(after, world, 0, Force.UNSEEN)
    assert operation != first
    abort_run(last, operation)
    assert world.answers("pulse") == {NEW}


def test_one_without_force_is_taken_back_only_with_every_edge(ctx: Context, world: World) -> None:
    ctx.crash = KillAt(1)
    with pytest.raises(Cut):
        rollback(ctx, "pulse", owner=ME)
    after = another_process(ctx, world)
    operation = after.store.runs.all(1)[0].operation
    world.edges_down.add(AWAY)
    with pytest.raises(PermafrostError, match="EDGE_UNREACHABLE"):
        abort_run(after, operation)
    world.edges_down.clear()
    abort_run(after, operation)
    assert world.answers("pulse") == {NEW}
