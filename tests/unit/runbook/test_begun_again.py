"""A command begun again after a kill: its record, its receipt, and what is taken back with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from permafrost.cli.render_operations import show_history, show_run
from permafrost.engine.runs import RunState
from permafrost.errors import Refused
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica, preview_drain
from permafrost.runbook.history import history, show
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.recovery import (
    abort_run,
    preview_resume,
    require_nothing_unfinished,
    run_named,
)
from permafrost.runbook.undrain import undrain_replica
from tests.fakes.killing import KillAt, another_process, is_cut_at_write
from tests.fakes.world import Cut, World
from tests.unit.runbook.chain import receipts

ONE, TWO, THREE = "lab-chat-01", "lab-chat-02", "lab-chat-03"
HOST = "lab-esx-01"
ME = "operator:me"
Work = Callable[[Context], object]


def drain(ctx: Context) -> None:
    require_nothing_unfinished(ctx, f"drain {ONE}")
    drain_replica(ctx, ONE, owner=ME, reason="fan")


def undrain(ctx: Context) -> None:
    require_nothing_unfinished(ctx, f"undrain {ONE}")
    undrain_replica(ctx, ONE, owner=ME)


def go(ctx: Context) -> None:
    require_nothing_unfinished(ctx, f"maintenance enter {HOST}")
    enter(ctx, HOST, owner=ME)


def come_back(ctx: Context) -> None:
    require_nothing_unfinished(ctx, f"maintenance exit {HOST}")
    leave(ctx, HOST, owner=ME)


def killed(ctx: Context, world: World, work: Work, moment: int) -> Context:
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        work(ctx)
    return another_process(ctx, world)


def require_told(ctx: Context, name: str) -> None:
    """Every operation of that name is told by a receipt: its own, or that of who went on."""
    chain = {r["operation"]: r for r in receipts(ctx)}
    found = [o for o in history(ctx, 100) if o["command"] == name]
    assert found
    for told in found:
        assert told["state"] in ("done", "continued"), told
        if told["state"] == "done":
            assert told["receipt"]
            assert told["continued_by"] is None
            continue
        last: dict[str, Any] = told
        while last["continued_by"]:
            last = show(ctx, last["continued_by"])
        assert last["state"] == "done"
        (part,) = [
            c for c in chain[last["operation"]]["continues"] if c["operation"] == told["operation"]
        ]
        seen = [(s["step"], s["phase"]) for s in part["steps"]]
        assert seen == [(e["step"], e["phase"]) for e in show(ctx, told["operation"])["journal"]]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("before", "work", "name"),
    [
        ((), drain, f"drain {ONE}"),
        ((drain,), undrain, f"undrain {ONE}"),
        ((), go, f"maintenance enter {HOST}"),
        ((go,), come_back, f"maintenance exit {HOST}"),
    ],
    ids=["drain", "undrain", "enter", "exit"],
)
def test_it_is_told_whole_wherever_it_was_killed(
    ctx: Context, world: World, before: tuple[Work, ...], work: Work, name: str
) -> None:
    """Killed at the first write that it came to, at the second of the next try, and so on."""
    for first in before:
        first(ctx)
    moment = 0
    while is_cut_at_write(ctx, moment, partial(work, ctx)):
        ctx = another_process(ctx, world)
        assert len(ctx.store.runs.unfinished()) <= 1, (
            "one try ends in the write that begins another"
        )
        if any(o["state"] == "done" and o["command"] == name for o in history(ctx, 100)):
            break  # killed in its last write
        moment += 1
    assert moment > 8
    assert ctx.store.runs.unfinished() == ()
    require_told(ctx, name)


@pytest.mark.parametrize("moment", range(8))
def test_one_that_has_done_all_is_finished_by_itself_or_continued(
    ctx: Context, world: World, moment: int, capsys: pytest.CaptureFixture[str]
) -> None:
    after = killed(ctx, world, drain, moment)
    (first,) = after.store.runs.unfinished()
    drain(after)
    require_told(after, f"drain {ONE}")
    run = run_named(after, first.operation)
    if run.state is RunState.DONE:
        assert after.store.runs.all()[0].operation == first.operation, "nothing else was begun"
        return
    second = after.store.runs.all()[0]
    assert run.continued_by == second.operation
    show_history(history(after, 5))
    show_run(show(after, first.operation))
    assert f"`permafrost show {second.operation}`" in capsys.readouterr().out
    assert receipts(after)[-1]["before"]["continues"] == [first.operation]
    for verb in (preview_resume, abort_run):
        with pytest.raises(Refused, match="OPERATION_OVER") as over:
            verb(after, first.operation)
        assert f"`permafrost show {second.operation}`" in over.value.problems[0].hint


def test_one_that_is_refused_ends_nothing(ctx: Context, world: World) -> None:
    after = killed(ctx, world, drain, 1)
    (first,) = after.store.runs.unfinished()
    _, shown = preview_drain(after, ONE, owner=ME)
    world.machines[THREE].state = "OUT"
    for force in ({}, {"shown": shown}):
        require_nothing_unfinished(after, f"drain {ONE}")
        with pytest.raises(Refused):
            drain_replica(after, ONE, owner=ME, **force)
    assert after.store.runs.unfinished() == (first,)


def test_taken_back_is_all_of_it(ctx: Context, world: World) -> None:
    """Also what the first try has taken away."""
    after = killed(ctx, world, drain, 4)
    last = killed(after, world, drain, 2)
    (run,) = last.store.runs.unfinished()
    assert run.plan.facts["was"] == "ADMITTED"
    abort_run(last, run.operation)
    assert world.serving("chat") == {ONE, TWO, THREE}
    assert last.store.declared()[ONE].state == "ADMITTED"


def test_a_program_continues_nothing(ctx: Context, world: World) -> None:
    after = killed(ctx, world, drain, 1)
    (first,) = after.store.runs.unfinished()
    drain_replica(after, ONE, owner="converge")
    assert after.store.runs.unfinished() == (first,)


def test_what_was_overruled_names_who_came_later(ctx: Context, world: World) -> None:
    after = killed(ctx, world, drain, 7)
    (first,) = after.store.runs.unfinished()
    undrain_replica(after, ONE, owner=ME)
    drain_replica(after, ONE, owner="converge")
    drain(after)
    run = run_named(after, first.operation)
    assert run.continued_by == after.store.runs.all()[0].operation
    assert after.store.runs.unfinished() == ()
