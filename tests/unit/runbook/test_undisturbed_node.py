"""A node configured by hand while an operation is unfinished: refused where that is on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from permafrost.cli import deployment
from permafrost.cli.options import Output
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.planning.lookup import node_named
from permafrost.planning.steps import OperationPlan, OperationStep
from permafrost.planning.undisturbed import concerns
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_for, converge_node
from permafrost.runbook.recovery import abort_run
from permafrost.runbook.unfinished import require_node_undisturbed
from tests.fakes.model_server import FakeModelServer
from tests.fakes.world import World, unreachable
from tests.unit.runbook.test_undisturbed import (
    ctx,
    drained,
    entered,
    killed,
    paused,
    upgraded,
    world,
)

__all__ = ["ctx", "world"]

ME = "operator:me"
ONE, TWO, OTHER, EDGE = "lab-pulse-01", "lab-pulse-02", "lab-chat-02", "lab-edge-01"
Work = Callable[[Context], object]


def is_refused(ctx: Context, node: str, command: str = "converge") -> bool:
    """Whether that is why; any other refusal is a bug."""
    try:
        require_node_undisturbed(ctx, command, node_named(ctx.site, node))
    except Refused as refusal:
        return {p.code for p in refusal.problems} == {"OPERATION_UNFINISHED"}
    return False


@pytest.mark.parametrize("stopped", [killed, paused])
@pytest.mark.parametrize("work", [drained, entered, upgraded])
def test_it_names_the_operation_until_that_is_taken_back(
    ctx: Context, world: World, work: Work, stopped: Callable[[Context, World, Work], Context]
) -> None:
    after = stopped(ctx, world, work)
    run = after.store.runs.all(1)[0]
    done = list(world.effects)
    with pytest.raises(Refused) as refused:
        converge_for(after, ONE, owner=ME)
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == ("OPERATION_UNFINISHED", run.operation)
    said = f"{run.plan.name} of {ME}, begun {run.started_at}, is paused at step {run.step}"
    assert problem.message == said
    for told in (f"resume {run.operation}", f"abort {run.operation}", f"converge {ONE}"):
        assert f"`permafrost {told}`" in problem.hint
    assert world.effects == done, "something was done"
    abort_run(after, run.operation)
    converge_for(after, ONE, owner=ME)
    assert world.takes_requests(ONE)


@pytest.mark.parametrize(
    ("work", "refused"),
    [(drained, {ONE, EDGE}), (upgraded, {ONE, TWO, EDGE})],
    ids=["a drain", "an upgrade"],
)
def test_only_what_the_operation_is_on_is_refused(
    ctx: Context, world: World, work: Work, refused: set[str]
) -> None:
    after = killed(ctx, world, work)
    assert {n for n in (ONE, TWO, OTHER, EDGE) if is_refused(after, n)} == refused
    converge_for(after, OTHER, owner=ME)


def test_a_host_s_maintenance_is_on_what_stands_there(ctx: Context, world: World) -> None:
    after = killed(ctx, world, entered)
    here = {n for n, m in world.machines.items() if m.host == "lab-esx-01"}
    elsewhere = {n for n in world.machines if n not in here and n != EDGE}
    assert {n for n in here | elsewhere if is_refused(after, n)} == here


def test_an_operation_that_does_not_say_what_it_is_on_is_on_everything(ctx: Context) -> None:
    every = [node_named(ctx.site, n) for n in (ONE, OTHER, EDGE)]
    nothing = OperationPlan("something", "of-before", ())
    assert all(concerns(ctx.site, nothing, node) for node in every)
    step = OperationStep("01", "set-edges-to-drain", "lab-gone-01", 1, arguments={"endpoint": "x"})
    gone = OperationPlan("drain", "lab-gone-01", (step,))
    assert [concerns(ctx.site, gone, node) for node in every] == [False, False, True]
    switch = OperationPlan("rollback", "pulse", (OperationStep("01", "cut-over", "pulse", 1),))
    assert [concerns(ctx.site, switch, node) for node in every] == [True, False, True]


def test_what_a_program_does_for_an_operation_is_not_asked(ctx: Context, world: World) -> None:
    after = killed(ctx, world, upgraded)
    assert is_refused(after, ONE)
    assert converge_node(after, ONE, vm="another", fingerprint="another").changed == 1


def test_the_error_of_an_upgrade_may_name_it_as_the_way_on(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node's service says it: without a name, at the node."""
    told = Problem("SLOT_NOT_CONFIGURED", "b", ONE, "`permafrost converge` writes it anew")

    def refuse(*_: object) -> None:
        raise Failed(told)

    with monkeypatch.context() as broken:
        broken.setattr(FakeModelServer, "load", refuse)
        with pytest.raises(Failed, match="SLOT_NOT_CONFIGURED"):
            upgraded(ctx)
    operation = ctx.store.runs.all(1)[0].operation
    assert {n for n in (ONE, TWO, EDGE) if is_refused(ctx, n)} == {TWO, EDGE}
    converge_for(ctx, ONE, owner=ME)
    abort_run(ctx, operation)
    assert world.takes_requests(ONE)


def test_what_failed_for_another_reason_is_refused(ctx: Context, world: World) -> None:
    world.wrong.add("sha256:" + "d" * 64)
    with pytest.raises(Failed, match="PROBE_FAILED"):
        upgraded(ctx)
    assert is_refused(ctx, ONE)


def test_an_edge_that_runs_and_does_not_answer_may_be_mended(ctx: Context, world: World) -> None:
    after = killed(ctx, world, upgraded)
    operation = after.store.runs.all(1)[0].operation
    world.edges_down.add(EDGE)
    with pytest.raises(PermafrostError, match="EDGE_UNREACHABLE"):
        abort_run(after, operation)
    assert not is_refused(after, EDGE)
    world.power_off(EDGE)
    assert is_refused(after, EDGE), "nothing is configured on a machine that is off"


def test_a_replica_that_runs_and_does_not_answer_may_be_mended(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = killed(ctx, world, upgraded)
    state = FakeModelServer.state

    def silent(self: FakeModelServer, node: str) -> object:
        if node == ONE:
            raise unreachable(node)
        return state(self, node)

    monkeypatch.setattr(FakeModelServer, "state", silent)
    assert {n for n in (ONE, TWO) if is_refused(after, n)} == {TWO}
    world.power_off(ONE)
    assert is_refused(after, ONE)


def test_the_command_refuses_before_it_asks_and_looks_nevertheless(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = killed(ctx, world, drained)
    monkeypatch.setattr(deployment, "open_site", lambda _: after)
    monkeypatch.setattr(deployment, "confirm", lambda *_: pytest.fail("it asked"))
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        deployment.converge(ONE, yes=True, output=Output.JSON)
    done = list(world.effects)
    deployment.converge(ONE, check=True, output=Output.JSON)
    assert world.effects == done
