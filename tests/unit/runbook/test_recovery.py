"""Operations killed at every moment: finished, taken back, shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.engine.runs import RunState
from permafrost.engine.state import DeclaredState, Phase
from permafrost.errors import Failed, Held, Refused
from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica, preview_drain
from permafrost.runbook.history import history, show
from permafrost.runbook.recovery import (
    abort_run,
    pause_run,
    preview_abort,
    require_nothing_unfinished,
    require_turn,
    resume_run,
    run_named,
)
from permafrost.runbook.undrain import preview_undrain, undrain_replica
from tests.fakes.killing import KillAt, another_process
from tests.fakes.world import Cut, World

ONE, TWO = "lab-chat-01", "lab-chat-02"
ME = "operator:me"
DRAIN_MOMENTS = 8
UNDRAIN_MOMENTS = 10


def drain(ctx: Context) -> None:
    drain_replica(ctx, ONE, owner=ME, reason="fan")


def undrain(ctx: Context) -> None:
    undrain_replica(ctx, ONE, owner=ME)


def killed(ctx: Context, world: World, work: Callable[[Context], None], moment: int) -> Context:
    """Run, be killed at that moment; return the next process and check what it finds."""
    ctx.crash = KillAt(moment)
    world.pass_time(0.5)
    with pytest.raises(Cut):
        work(ctx)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    assert run.is_interrupted
    assert run.as_dict()["state"] == "paused"
    with pytest.raises(Refused, match="OPERATION_UNFINISHED") as refused:
        require_turn(after, "drain lab-chat-02")
    require_turn(after, run.plan.name)
    assert after.store.runs.unfinished() == (run,), "to ask changes nothing"
    with pytest.raises(Refused, match="OPERATION_UNFINISHED") as refused:
        require_nothing_unfinished(after, "drain lab-chat-02")
    assert f"permafrost resume {run.operation}" in str(refused.value)
    return after


def latest(ctx: Context) -> str:
    return ctx.store.runs.all(1)[0].operation


def is_served(world: World) -> bool:
    return len(world.serving("chat")) >= 2


def test_there_are_as_many_moments_as_these_tests_kill_at(ctx: Context) -> None:
    ctx.crash = count = KillAt()
    drain(ctx)
    assert count.passed == DRAIN_MOMENTS
    ctx.crash = count = KillAt()
    undrain(ctx)
    assert count.passed == UNDRAIN_MOMENTS


@pytest.mark.parametrize("moment", range(DRAIN_MOMENTS))
def test_a_killed_drain_is_finished(ctx: Context, world: World, moment: int) -> None:
    after = killed(ctx, world, drain, moment)
    assert is_served(world)
    result = resume_run(after, latest(after))
    assert after.store.declared()[ONE].state == "DRAINED"
    assert after.store.declared()[ONE].reason == "fan"
    assert world.machines[ONE].requests == []
    assert not world.takes_requests(ONE)
    run = run_named(after, result.operation)
    assert run.state is RunState.DONE
    assert json.loads(Path(run.receipt).read_text())["operation"] == run.operation


@pytest.mark.parametrize("moment", range(DRAIN_MOMENTS))
def test_a_killed_drain_is_taken_back(ctx: Context, world: World, moment: int) -> None:
    after = killed(ctx, world, drain, moment)
    abort_run(after, latest(after))
    assert run_named(after, latest(after)).state is RunState.ABORTED
    assert world.serving("chat") == {ONE, TWO, "lab-chat-03"}
    assert after.store.declared()[ONE].state == "ADMITTED"


@pytest.mark.parametrize("moment", range(UNDRAIN_MOMENTS))
@pytest.mark.parametrize("go_on", [resume_run, abort_run])
def test_a_killed_undrain(
    ctx: Context, world: World, moment: int, go_on: Callable[[Context, str], object]
) -> None:
    drain(ctx)
    after = killed(ctx, world, undrain, moment)
    go_on(after, latest(after))
    assert world.takes_requests(ONE) == (go_on is resume_run)
    assert after.store.declared()[ONE].state == ("ADMITTED" if go_on is resume_run else "DRAINED")


@pytest.mark.parametrize("moment", range(UNDRAIN_MOMENTS))
def test_a_killed_abort_is_called_again(ctx: Context, world: World, moment: int) -> None:
    after = killed(ctx, world, drain, DRAIN_MOMENTS - 1)
    after.crash = KillAt(moment)
    with pytest.raises(Cut):
        abort_run(after, latest(after))
    last = another_process(after, world)
    with pytest.raises(Refused, match="OPERATION_ABORTING"):
        resume_run(last, latest(last))
    abort_run(last, latest(last))
    assert world.takes_requests(ONE)


@pytest.mark.parametrize("moment", range(DRAIN_MOMENTS))
def test_the_same_command_again_ends_the_same(ctx: Context, world: World, moment: int) -> None:
    after = killed(ctx, world, drain, moment)
    require_nothing_unfinished(after, f"drain {ONE}")
    drain(after)
    assert after.store.declared()[ONE].state == "DRAINED"
    assert after.store.runs.unfinished() == ()


def test_a_resumed_drain_keeps_the_floor(ctx: Context, world: World) -> None:
    after = killed(ctx, world, drain, 1)
    world.machines[TWO].state = "OUT"
    with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY"):
        resume_run(after, latest(after))
    assert world.takes_requests(ONE)
    assert run_named(after, latest(after)).state is RunState.FAILED
    world.machines[TWO].state = "ADMITTED"
    resume_run(after, latest(after))
    assert not world.takes_requests(ONE)


def test_a_pause_stops_before_the_next_step(ctx: Context, world: World) -> None:
    def ask(command: str, step: OperationStep, when: str) -> None:
        if step.kind == "set-edges-to-drain" and when == "after":
            ctx.store.runs.wish_pause(latest(ctx))

    ctx.crash = ask
    with pytest.raises(Exception, match="OPERATION_PAUSED"):
        drain(ctx)
    assert ctx.store.declared()[ONE].state == "DRAINING"
    run = run_named(ctx, latest(ctx))
    assert run.state is RunState.PAUSED
    with pytest.raises(Refused, match="OPERATION_NOT_RUNNING"):
        pause_run(ctx, run.operation)
    resume_run(ctx, run.operation)
    assert ctx.store.declared()[ONE].state == "DRAINED"


def test_what_is_over_is_over(ctx: Context) -> None:
    drain(ctx)
    for verb in (resume_run, abort_run):
        with pytest.raises(Refused, match="OPERATION_OVER"):
            verb(ctx, latest(ctx))
    with pytest.raises(Refused, match="OPERATION_UNKNOWN"):
        run_named(ctx, "nothing")


def test_what_came_later_has_the_last_word(ctx: Context, world: World) -> None:
    world.request_s = 1e9
    world.pass_time(1)
    with pytest.raises(Failed, match="DRAIN_DEADLINE"):
        drain(ctx)
    failed = latest(ctx)
    undrain(ctx)
    for verb in (resume_run, preview_abort):
        with pytest.raises(Refused, match="OPERATION_SUPERSEDED"):
            verb(ctx, failed)
    assert world.takes_requests(ONE)


def test_a_living_process_is_left_at_its_work(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = killed(ctx, world, drain, 3)
    monkeypatch.setattr("permafrost.engine.runs.Run.is_interrupted", False)
    with pytest.raises(Held, match="OPERATION_RUNNING"):
        resume_run(after, latest(after))


def test_one_that_let_its_lease_run_out_is_not_waited_for(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suspended, say: its plan is shown, and taking the lock ends it (test_fencing)."""
    after = killed(ctx, world, drain, 3)
    after.store.lock.acquire("drain", lease_s=900)
    monkeypatch.setattr("permafrost.engine.runs.Run.is_interrupted", False)
    with pytest.raises(Held, match="OPERATION_RUNNING"):
        preview_abort(after, latest(after))
    after.store.lock.release(next_token(after))
    after.store.lock.acquire("drain", lease_s=-1)
    assert [s.kind for s in preview_abort(after, latest(after)).steps]


def next_token(ctx: Context) -> str:
    held = ctx.store.lock.holder()
    assert held is not None
    return held.token


def test_a_plan_that_is_stale_is_refused(ctx: Context, world: World) -> None:
    _, shown = preview_drain(ctx, "lab-pulse-01", owner=ME)
    world.power_off("lab-pulse-03")
    world.site.inference["pulse"].__dict__["min_ready"] = 1
    with pytest.raises(Refused, match="PLAN_STALE"):
        drain_replica(ctx, "lab-pulse-01", owner=ME, shown=shown)
    assert world.effects == []


def test_every_effect_has_its_intent_and_evidence(ctx: Context) -> None:
    drain(ctx)
    undrain(ctx)
    seen = [(e.operation, e.step, e.phase) for e in ctx.store.journal()]
    for operation, step, phase in seen:
        if phase is Phase.DONE:
            assert seen.index((operation, step, Phase.INTENT)) < seen.index(
                (operation, step, Phase.DONE)
            )
    assert len([s for s in seen if s[2] is Phase.DONE]) == 9


def test_a_way_back_that_is_not_the_one_that_was_shown_is_refused(
    ctx: Context, world: World
) -> None:
    after = killed(ctx, world, drain, DRAIN_MOMENTS - 1)
    shown = preview_abort(after, latest(after)).fingerprint
    declared = after.store.declared()[ONE]
    after.store.declare(ONE, DeclaredState.OUT, owner=ME)
    with pytest.raises(Refused, match="PLAN_STALE"):
        abort_run(after, latest(after), shown=shown)
    assert run_named(after, latest(after)).back is None
    assert not world.takes_requests(ONE)
    after.store.declare(ONE, declared.state, owner=ME)
    abort_run(after, latest(after), shown=shown)
    assert world.takes_requests(ONE)


def test_an_admission_that_is_not_the_one_that_was_shown_is_refused(
    ctx: Context, world: World
) -> None:
    drain(ctx)
    made = preview_undrain(ctx, ONE, owner=ME)
    assert [s.kind for s in made.steps][-1] == "declare-admitted"
    effects = list(world.effects)
    ctx.store.declare(ONE, DeclaredState.DRAINED, owner="operator:ada", reason="a fan of hers")
    with pytest.raises(Refused, match="PLAN_STALE"):
        undrain_replica(ctx, ONE, owner=ME, shown=made.fingerprint)
    assert world.effects == effects
    again = preview_undrain(ctx, ONE, owner=ME)
    undrain_replica(ctx, ONE, owner=ME, shown=again.fingerprint)
    assert world.takes_requests(ONE)
    assert preview_undrain(ctx, ONE, owner=ME).notes == ("it serves already",)


def test_of_a_deployment_it_is_shown_that_its_process_is_no_more(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = ctx.store.begin("deploy", owner="deploy")
    assert show(ctx, operation)["state"] == "running"
    monkeypatch.setattr("permafrost.engine.holder.Holder.is_alive", lambda _: False)
    told = show(ctx, operation)
    assert (told["state"], told["interrupted"]) == ("paused", True)
    assert history(ctx, 1)[0]["state"] == "paused"
