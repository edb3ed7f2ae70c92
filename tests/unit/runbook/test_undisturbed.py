"""A deployment while a person's operation is unfinished: refused where it changes what runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.cli import deployment
from permafrost.cli.options import Output
from permafrost.engine.executor import Paused
from permafrost.engine.runs import RunState
from permafrost.errors import Failed, Refused
from permafrost.planning.upgrade import Wish
from permafrost.runbook.context import Context
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.maintenance import enter
from permafrost.runbook.recovery import abort_run, resume_run, run_named
from permafrost.runbook.unfinished import require_undisturbed
from permafrost.runbook.upgrade import upgrade
from tests.fakes.catalog import FakeCatalog
from tests.fakes.killing import KillAt, another_process
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.site import placed_context, small_site
from tests.fakes.world import Cut, World

ME, NEW = "operator:me", "sha256:" + "d" * 64
ONE, OTHER, HOST = "lab-pulse-01", "lab-chat-02", "lab-esx-01"
VM = "vsphere:index/virtualMachine:VirtualMachine"
RULE = "vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule"
CONVERGENCE = "pulumi-python:dynamic/permafrost:Convergence"
CHANGES_VM = (Change("update", VM, OTHER, {"annotation": "update"}),)


@pytest.fixture
def world() -> World:
    keys = {"replicas": 3, "min_ready": 1, "drain_deadline_s": 5}
    return World.of(small_site(pulse=keys, chat={"drain_deadline_s": 5}))


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def drained(ctx: Context) -> object:
    return drain_replica(ctx, ONE, owner=ME, reason="fan")


def entered(ctx: Context) -> object:
    return enter(ctx, HOST, owner=ME)


def upgraded(ctx: Context) -> object:
    return upgrade(ctx, "pulse", NEW, Wish(ME))


def killed(ctx: Context, world: World, work: Callable[[Context], object]) -> Context:
    ctx.crash = KillAt(3)
    with pytest.raises(Cut):
        work(ctx)
    return another_process(ctx, world)


def paused(ctx: Context, world: World, work: Callable[[Context], object]) -> Context:
    """A person asks for a stop while the second step is at work."""
    kill = KillAt()

    def ask(command: str, step: Any, when: str) -> None:
        kill(command, step, when)
        if kill.passed == 3:
            ctx.store.runs.wish_pause(ctx.store.runs.all(1)[0].operation)

    ctx.crash = ask
    with pytest.raises(Paused):
        work(ctx)
    return another_process(ctx, world)


def with_changes(ctx: Context, *changes: Change) -> Context:
    assert isinstance(ctx.provisioner, FakeProvisioner)
    ctx.provisioner.changes = changes
    return ctx


@pytest.mark.parametrize("stopped", [killed, paused])
@pytest.mark.parametrize("work", [drained, entered, upgraded])
def test_it_names_the_operation_until_that_is_taken_back(
    ctx: Context,
    world: World,
    work: Callable[[Context], object],
    stopped: Callable[[Context, World, Callable[[Context], object]], Context],
) -> None:
    after = with_changes(stopped(ctx, world, work), *CHANGES_VM)
    run = after.store.runs.all(1)[0]
    done = list(world.effects)
    with pytest.raises(Refused) as refused:
        execute(after, make_plan(after))
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == ("OPERATION_UNFINISHED", run.operation)
    said = f"{run.plan.name} of {ME}, begun {run.started_at}, is paused at step {run.step}"
    assert problem.message == said
    assert f"`permafrost resume {run.operation}`" in problem.hint
    assert f"`permafrost abort {run.operation}`" in problem.hint
    assert f"update-vm {OTHER}" in problem.hint
    assert world.effects == done, "something was done"
    abort_run(after, run.operation)
    assert execute(after, make_plan(after))["changed"] == 1


def test_one_that_changes_nothing_is_not_refused(ctx: Context, world: World) -> None:
    after = killed(ctx, world, upgraded)
    assert execute(after, make_plan(after))["changed"] == 0
    resume_run(after, after.store.runs.all(1)[0].operation)


def test_what_failed_on_slots_is_unfinished_and_a_drain_that_failed_is_not(
    ctx: Context, world: World
) -> None:
    world.request_s = 1000.0
    world.pass_time(1)
    with pytest.raises(Failed, match="DRAIN_DEADLINE"):
        drained(ctx)
    with_changes(ctx, *CHANGES_VM)
    assert execute(ctx, make_plan(ctx))["changed"] == 1
    world.request_s = 1.0
    world.pass_time(2000)
    abort_run(ctx, ctx.store.runs.all(1)[0].operation)
    world.wrong.add(NEW)
    with pytest.raises(Failed, match="PROBE_FAILED"):
        upgraded(ctx)
    with_changes(ctx, *CHANGES_VM)
    with pytest.raises(Refused, match=r"upgrade pulse of .* is failed"):
        execute(ctx, make_plan(ctx))


def test_what_is_gone_may_come_back_for_neither_way_out_gets_past_it(
    ctx: Context, world: World
) -> None:
    after = killed(ctx, world, upgraded)
    operation = after.store.runs.all(1)[0].operation
    world.power_off(ONE)
    for way_out in (resume_run, abort_run):
        with pytest.raises(Failed):
            way_out(after, operation)
    assert [s.kind for s in make_plan(after).steps] == ["power-on"]
    execute(after, make_plan(after))
    abort_run(after, operation)
    assert run_named(after, operation).state is RunState.ABORTED
    assert world.takes_requests(ONE)


def test_a_lost_vm_may_be_made_anew_with_what_names_it_and_nothing_besides(
    ctx: Context, world: World
) -> None:
    after = killed(ctx, world, upgraded)
    del world.machines[ONE]
    anew = (
        Change("create", VM, ONE),
        Change("create", "vsphere:index/drsVmOverride:DrsVmOverride", ONE),
        Change("update", RULE, "keep-apart-pulse"),
        Change("create", CONVERGENCE, ONE),
    )
    require_undisturbed(after, make_plan(with_changes(after, *anew)))
    for besides in (
        Change("update", CONVERGENCE, OTHER),
        Change("delete", VM, OTHER),
        Change("create", "vsphere:index/computeClusterVmHostRule:ComputeClusterVmHostRule", "x"),
    ):
        after = with_changes(another_process(ctx, world), *anew[3:], besides)
        with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
            require_undisturbed(after, make_plan(after))


def test_a_plan_that_cannot_be_made_says_what_is_unfinished_too(
    ctx: Context, world: World
) -> None:
    after = killed(ctx, world, drained)
    after.catalog = FakeCatalog(missing=frozenset({world.site.inference["chat"].model}))
    with pytest.raises(Refused) as refused:
        make_plan(after)
    codes = [p.code for p in refused.value.problems]
    assert codes == ["CHECKPOINT_MISSING", "OPERATION_UNFINISHED"]


def test_the_command_refuses_before_it_asks(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = with_changes(killed(ctx, world, drained), *CHANGES_VM)
    monkeypatch.setattr(deployment, "open_site", lambda _: after)
    monkeypatch.setattr(deployment, "confirm", lambda *_: pytest.fail("it asked"))
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        deployment.deploy(yes=True, output=Output.JSON)
