"""What is said of an operation that is not over can be done, also once it is being taken back."""

from __future__ import annotations

import re

import pytest

from permafrost.cli.render_operations import show_run
from permafrost.engine.runs import Run
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.history import show
from permafrost.runbook.recovery import (
    abort_run,
    pause_run,
    require_turn,
    resume_run,
    run_named,
)
from tests.fakes.killing import KillAt, another_process
from tests.fakes.model_server import FakeModelServer
from tests.fakes.world import Cut, World

ONE, TWO = "lab-chat-01", "lab-chat-02"
ME = "operator:me"
NAMED = re.compile(r"`permafrost (resume|abort)( \S+?)?`")


def killed_on_the_way_back(ctx: Context, world: World) -> tuple[Context, Run]:
    ctx.crash = KillAt(5)
    with pytest.raises(Cut):
        drain_replica(ctx, ONE, owner=ME)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    after.crash = KillAt(2)
    with pytest.raises(Cut):
        abort_run(after, run.operation)
    last = another_process(after, world)
    return last, run


def ways(text: str) -> list[tuple[str, str]]:
    return [(verb, of.strip()) for verb, of in NAMED.findall(text)]


def test_what_is_being_taken_back_is_not_said_to_be_resumed(
    ctx: Context, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx, run = killed_on_the_way_back(ctx, world)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED") as refused:
        require_turn(ctx, f"drain {TWO}")
    assert ways(str(refused.value)) == [("abort", run.operation)]
    show_run(show(ctx, run.operation))
    assert ways(capsys.readouterr().out) == [("abort", run.operation)]
    with pytest.raises(Refused, match="OPERATION_ABORTING"):
        resume_run(ctx, run.operation)
    abort_run(ctx, run.operation)
    assert world.takes_requests(ONE)


@pytest.mark.parametrize("hint", ["`permafrost resume`", "`permafrost resume {}`"])
@pytest.mark.parametrize("back", [False, True])
def test_what_an_adapter_says_is_said_of_the_operation(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch, hint: str, back: bool
) -> None:
    """It knows neither its name nor its direction."""

    def fail(*_: object, **__: object) -> None:
        operation = ctx.store.runs.all(1)[0].operation
        raise Failed(Problem("BROKEN", "it broke", ONE, "mend it, then " + hint.format(operation)))

    if back:
        ctx, run = killed_on_the_way_back(ctx, world)
        monkeypatch.setattr(FakeModelServer, "probe", fail)
        with pytest.raises(Failed, match="BROKEN") as failed:
            abort_run(ctx, run.operation)
    else:
        monkeypatch.setattr("permafrost.runbook.steps_replica.await_idle", fail)
        with pytest.raises(Failed, match="BROKEN") as failed:
            drain_replica(ctx, ONE, owner=ME)
    operation = ctx.store.runs.all(1)[0].operation
    expected = [("abort" if back else "resume", operation)]
    assert ways(failed.value.problems[0].hint) == ways(str(failed.value)) == expected
    assert ways(str(run_named(ctx, operation).error)) == expected


def test_a_part_of_a_program_s_work_says_what_it_said(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a deployment `resume` without an operation is right."""
    told = Failed(Problem("BROKEN", "it broke", ONE, "mend it, then `permafrost resume`"))

    def fail(*_: object, **__: object) -> None:
        raise told

    monkeypatch.setattr("permafrost.runbook.steps_replica.await_idle", fail)
    with pytest.raises(Failed, match="BROKEN") as failed:
        drain_replica(ctx, ONE, owner="pulumi")
    assert ways(str(failed.value)) == [("resume", "")]


def test_a_way_back_that_is_paused_goes_on_with_abort(ctx: Context, world: World) -> None:
    ctx, run = killed_on_the_way_back(ctx, world)

    def ask(command: str, step: OperationStep, when: str) -> None:
        if when == "after":
            ctx.store.runs.wish_pause(run.operation)

    ctx.crash = ask
    with pytest.raises(PermafrostError, match="OPERATION_PAUSED") as paused:
        abort_run(ctx, run.operation)
    assert ways(str(paused.value)) == [("abort", run.operation)]
    with pytest.raises(Refused):
        pause_run(ctx, run.operation)
    ctx.crash = KillAt()
    abort_run(ctx, run.operation)
