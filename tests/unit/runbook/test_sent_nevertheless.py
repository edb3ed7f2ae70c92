"""A replica is declared away and is sent requests: what `status` says to do can be done."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from permafrost.engine.runs import Run, RunState
from permafrost.engine.state import DeclaredState
from permafrost.errors import Refused
from permafrost.facts import ServerState
from permafrost.planning.lookup import node_named
from permafrost.planning.sent_nevertheless import what_to_do
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.looking import look
from permafrost.runbook.operations import site_held
from permafrost.runbook.recovery import (
    abort_run,
    require_nothing_unfinished,
    resume_run,
    run_named,
)
from permafrost.runbook.status import read_status
from permafrost.runbook.undrain import undrain_replica
from tests.fakes.killing import KillAt, another_process
from tests.fakes.world import Cut, World
from tests.unit.runbook.test_undrain_is_needed import (
    BEFORE_IT_SERVES,
    EDGES_ARE_TO_BE_TOLD,
    SINCE_IT_SERVES,
    killed,
)
from tests.unit.runbook.test_undrain_is_needed import ctx as two_are_away

__all__ = ["two_are_away"]

ONE, TWO, EDGE = "lab-chat-01", "lab-chat-02", "lab-edge-01"
ME = "operator:me"


def said(ctx: Context, name: str = ONE) -> str:
    """Return what the status says of a replica."""
    (reason,) = [
        r.reason for e in read_status(ctx).endpoints for r in e.replicas if r.name == name
    ]
    return reason


def follow(ctx: Context) -> str:
    """Do as the status says, as the command does it; return the verb."""
    ((verb, of),) = re.findall(r"`permafrost (\S+) (\S+)`", said(ctx))
    work: dict[str, Callable[[], object]] = {
        "resume": lambda: resume_run(ctx, of),
        "abort": lambda: abort_run(ctx, of),
        "drain": lambda: drain_replica(ctx, of, owner=ME),
        "undrain": lambda: undrain_replica(ctx, of, owner=ME),
    }
    if verb in ("drain", "undrain"):
        require_nothing_unfinished(ctx, f"{verb} {of}")
    work[verb]()
    return verb


def require_right(ctx: Context, world: World) -> None:
    """It is away and sent nothing, or declared ADMITTED and serves."""
    is_away = ctx.store.declared()[ONE].is_away
    assert is_away is not world.takes_requests(ONE)
    assert "nevertheless" not in said(ctx)


@pytest.mark.parametrize("moment", [*BEFORE_IT_SERVES, *SINCE_IT_SERVES])
def test_of_half_an_undrain_the_operation_is_named(
    two_are_away: Context, world: World, moment: int
) -> None:
    after, run = killed(two_are_away, world, moment)
    if not (world.takes_requests(ONE) and after.store.declared()[ONE].is_away):
        assert "`permafrost" not in said(after)
        return
    assert f"undrain {ONE} is unfinished: `permafrost resume {run.operation}`" in said(after)
    with pytest.raises(Refused):
        require_nothing_unfinished(after, f"drain {ONE}")
    assert follow(after) == "resume"
    require_right(after, world)


def test_some_moment_of_an_undrain_is_such_a_one(two_are_away: Context, world: World) -> None:
    after, _ = killed(two_are_away, world, SINCE_IT_SERVES[0])
    assert "nevertheless" in said(after)


def taken_back_half(ctx: Context, world: World) -> tuple[Context, Run]:
    """Have an undrain cut off, and its way back as well."""
    undrain_replica(ctx, TWO, owner=ME)
    after, run = killed(ctx, world, SINCE_IT_SERVES[0])
    after.crash = KillAt(EDGES_ARE_TO_BE_TOLD)
    with pytest.raises(Cut):
        abort_run(after, run.operation)
    return after, run


def test_of_half_a_way_back_the_abort_is_named(two_are_away: Context, world: World) -> None:
    after, _ = taken_back_half(two_are_away, world)
    last = another_process(after, world)
    assert follow(last) == "abort"
    require_right(last, world)


def test_of_a_way_back_that_failed_what_is_needed_is_brought_back(
    two_are_away: Context, world: World
) -> None:
    after, run = taken_back_half(two_are_away, world)
    world.machines[TWO].state = "OUT"
    last = another_process(after, world)
    with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY"):
        abort_run(last, run.operation)
    assert run_named(last, run.operation).state is RunState.FAILED
    with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY"):
        drain_replica(last, ONE, owner=ME)
    assert follow(last) == "undrain"
    require_right(last, world)


def test_an_edge_that_was_off_is_told_by_a_drain(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME)
    world.edge_state[EDGE, ONE] = ServerState.READY
    assert follow(ctx) == "drain"
    require_right(ctx, world)


def test_what_a_program_left_away_is_brought_back(ctx: Context, world: World) -> None:
    ctx.store.declare(ONE, DeclaredState.DRAINING, owner="pulumi")
    assert follow(ctx) == "undrain"
    require_right(ctx, world)


def test_of_half_a_drain_that_is_named(ctx: Context, world: World) -> None:
    ctx.crash = KillAt(1)
    with pytest.raises(Cut):
        drain_replica(ctx, ONE, owner=ME)
    after = another_process(ctx, world)
    assert follow(after) == "resume"
    require_right(after, world)


def test_while_somebody_is_at_work_nothing_is_to_be_done(ctx: Context, world: World) -> None:
    ctx.store.declare(ONE, DeclaredState.DRAINING, owner=ME)
    with site_held(ctx, f"drain {ONE}"):
        assert "`permafrost" not in said(ctx)
        assert "an operation is at work" in said(ctx)


def test_nothing_is_said_of_what_is_as_declared(ctx: Context) -> None:
    node = node_named(ctx.site, ONE)
    assert what_to_do(ctx.site, look(ctx), node) == ""
    drain_replica(ctx, ONE, owner=ME)
    assert what_to_do(ctx.site, look(ctx), node) == ""
