"""An undrain that was killed, and what it brought back is needed by then: it is finished."""

from __future__ import annotations

import pytest

from permafrost.engine.runs import Run, RunState
from permafrost.engine.state import DeclaredState
from permafrost.errors import Failed, Refused
from permafrost.facts import ServerState
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.recovery import (
    abort_run,
    preview_abort,
    require_nothing_unfinished,
    resume_run,
    run_named,
)
from permafrost.runbook.undrain import undrain_replica
from tests.fakes.killing import KillAt, another_process, is_cut_at_effect
from tests.fakes.world import Cut, World

ONE, TWO, THREE = "lab-chat-01", "lab-chat-02", "lab-chat-03"
ME = "operator:me"
BEFORE_IT_SERVES, SINCE_IT_SERVES = range(5), range(5, 10)
"""The moments of an undrain, before and after its edges are told."""
EDGES_ARE_TO_BE_TOLD = 0
"""The first moment of its way back: that it is drained is declared still."""


@pytest.fixture
def ctx(ctx: Context, world: World) -> Context:
    """Two of three are away, one of them lost while the other was: fewer serve than must."""
    drain_replica(ctx, ONE, owner=ME, reason="fan")
    world.machines[TWO].state = "OUT"
    drain_replica(ctx, TWO, owner=ME)
    world.machines[TWO].state = "ADMITTED"
    assert world.serving("chat") == {THREE}
    return ctx


def killed(ctx: Context, world: World, moment: int) -> tuple[Context, Run]:
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        undrain_replica(ctx, ONE, owner=ME)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    return after, run


@pytest.mark.parametrize("moment", SINCE_IT_SERVES)
def test_what_is_needed_by_now_is_not_taken_away_again(
    ctx: Context, world: World, moment: int
) -> None:
    after, run = killed(ctx, world, moment)
    effects, declared = list(world.effects), after.store.declared()
    for verb in (preview_abort, abort_run):
        with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY") as refused:
            verb(after, run.operation)
        (problem,) = refused.value.problems
        assert problem.path == ONE
        assert f"`permafrost resume {run.operation}` finishes it" in problem.hint
    assert (world.effects, after.store.declared()) == (effects, declared)
    assert after.store.runs.unfinished() == (run,), "a refusal changes nothing"
    assert world.serving("chat") == {ONE, THREE}


@pytest.mark.parametrize("moment", SINCE_IT_SERVES)
def test_what_the_refusal_says_leads_to_where_the_abort_would_have(
    ctx: Context, world: World, moment: int
) -> None:
    after, run = killed(ctx, world, moment)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        require_nothing_unfinished(after, f"undrain {TWO}")
    resume_run(after, run.operation)
    assert run_named(after, run.operation).state is RunState.DONE
    require_nothing_unfinished(after, f"undrain {TWO}")
    undrain_replica(after, TWO, owner=ME)
    assert world.serving("chat") == {ONE, TWO, THREE}
    drain_replica(after, ONE, owner=ME)
    assert world.serving("chat") == {TWO, THREE}


@pytest.mark.parametrize("moment", BEFORE_IT_SERVES)
def test_what_serves_nobody_yet_is_left_away(ctx: Context, world: World, moment: int) -> None:
    after, run = killed(ctx, world, moment)
    abort_run(after, run.operation)
    assert run_named(after, run.operation).state is RunState.ABORTED
    declared = after.store.declared()[ONE]
    assert (declared.state, declared.reason) == (DeclaredState.DRAINED, "fan")
    assert world.serving("chat") == {THREE}


def test_one_that_only_some_edges_were_told_of_is_finished_too(ctx: Context, world: World) -> None:
    def work() -> None:
        require_nothing_unfinished(ctx, f"undrain {ONE}")
        undrain_replica(ctx, ONE, owner=ME)

    def told() -> int:
        states = [s for (_, name), s in world.edge_state.items() if name == ONE]
        return states.count(ServerState.READY)

    moment = 0
    while is_cut_at_effect(world, moment, work) and not told():
        moment += 1
    assert told() == 1, "the first kill after an edge was told falls before the other is"
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    with pytest.raises(Refused, match=f"permafrost resume {run.operation}"):
        abort_run(after, run.operation)
    resume_run(after, run.operation)
    assert world.serving("chat") == {ONE, THREE}


def test_one_that_cannot_be_finished_stands_in_nobodys_way(ctx: Context, world: World) -> None:
    """What does not prove itself serves nobody: its undrain has failed, the next may begin."""
    after, run = killed(ctx, world, SINCE_IT_SERVES[0])
    world.machines[ONE].state, world.machines[ONE].passes_probe = "OUT", False
    with pytest.raises(Failed):
        resume_run(after, run.operation)
    assert run_named(after, run.operation).state is RunState.FAILED
    require_nothing_unfinished(after, f"undrain {TWO}")
    undrain_replica(after, TWO, owner=ME)
    assert world.serving("chat") == {TWO, THREE}
    abort_run(after, run.operation)
    assert after.store.declared()[ONE].state is DeclaredState.DRAINED


def test_once_another_serves_again_it_is_taken_back(ctx: Context, world: World) -> None:
    undrain_replica(ctx, TWO, owner=ME)
    world.machines[TWO].state = "OUT"
    after, run = killed(ctx, world, SINCE_IT_SERVES[0])
    with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY"):
        abort_run(after, run.operation)
    world.machines[TWO].state = "ADMITTED"
    abort_run(after, run.operation)
    assert world.serving("chat") == {TWO, THREE}


def test_a_way_back_that_was_begun_and_cannot_go_on_stands_in_nobodys_way(
    ctx: Context, world: World
) -> None:
    """It has failed then; what it left half away is brought back by the same command."""
    undrain_replica(ctx, TWO, owner=ME)
    after, run = killed(ctx, world, SINCE_IT_SERVES[0])
    after.crash = KillAt(EDGES_ARE_TO_BE_TOLD)
    with pytest.raises(Cut):
        abort_run(after, run.operation)
    world.machines[TWO].state = "OUT"
    last = another_process(after, world)
    with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY"):
        abort_run(last, run.operation)
    assert run_named(last, run.operation).state is RunState.FAILED
    assert last.store.declared()[ONE].state is DeclaredState.DRAINED
    assert world.serving("chat") == {ONE, THREE}
    require_nothing_unfinished(last, f"undrain {ONE}")
    undrain_replica(last, ONE, owner=ME)
    assert last.store.declared()[ONE].state is DeclaredState.ADMITTED
    assert world.serving("chat") == {ONE, THREE}
