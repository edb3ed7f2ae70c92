"""What a killed deployment left is found, said, repaired; what is somebody's stays."""

from __future__ import annotations

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.errors import Failed, Held, Refused
from permafrost.planning.interruption import Interruption, StackHold, require_ours
from permafrost.runbook.context import Context
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.resumption import (
    find_interruption,
    is_deployment,
    repair,
    require_clean,
)
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.world import Cut, World

LEFT = Interruption(
    holds=(StackHold(4711, "here", is_dead=True),),
    processes=2,
    pending=("creating VirtualMachine lab-chat-01",),
    half_made=("lab-chat-02",),
)


def provisioner(ctx: Context) -> FakeProvisioner:
    assert isinstance(ctx.provisioner, FakeProvisioner)
    return ctx.provisioner


def test_where_nothing_was_interrupted_there_is_nothing_to_resume(ctx: Context) -> None:
    execute(ctx, make_plan(ctx))
    assert find_interruption(ctx).is_none


def test_everything_that_was_left_is_said_before_it_is_put_right(
    ctx: Context, world: World
) -> None:
    provisioner(ctx).interrupted = LEFT
    found = find_interruption(ctx)
    assert world.effects == []
    assert [(kind, target) for kind, target, _ in found.repairs] == [
        ("remove-lock", "process 4711"),
        ("end-processes", "2"),
        ("remove-half-made", "lab-chat-02"),
        ("clear-pending", "creating VirtualMachine lab-chat-01"),
    ]
    repair(ctx, found)
    assert world.effects == ["repair stack"]
    assert find_interruption(ctx).is_none
    assert [(e.kind, e.phase.value) for e in ctx.store.journal()] == [
        ("repair", "INTENT"),
        ("repair", "DONE"),
        ("receipt", "INTENT"),
        ("receipt", "DONE"),
    ]


def test_a_repair_that_leaves_something_fails_with_it(ctx: Context) -> None:
    provisioner(ctx).interrupted = provisioner(ctx).unrepaired = LEFT
    with pytest.raises(Failed, match="REPAIR_INCOMPLETE: lab-chat-02: remove-half-made"):
        repair(ctx, find_interruption(ctx))


@pytest.mark.parametrize("machine", ["here", "elsewhere"])
def test_the_lock_of_who_may_live_is_named_and_left_alone(
    ctx: Context, world: World, machine: str
) -> None:
    found = Interruption(holds=(StackHold(12, machine, is_dead=False),))
    provisioner(ctx).interrupted = found
    with pytest.raises(Held, match=f"process 12 on {machine}"):
        find_interruption(ctx)
    assert world.effects == []
    assert found.repairs == ()
    require_ours(Interruption(holds=(StackHold(12, machine, is_dead=True),)))


def test_a_deployment_that_was_cut_is_found_and_goes_on(ctx: Context, world: World) -> None:
    world.power_off("lab-chat-01")
    plan = make_plan(ctx)
    world.cut_in = 0
    with pytest.raises(Cut):
        execute(ctx, plan)
    found = find_interruption(ctx)
    assert is_deployment(ctx, found.operation)
    assert not is_deployment(ctx, "another")
    repair(ctx, found)
    execute(ctx, make_plan(ctx))
    require_clean(ctx)
    assert world.machines["lab-chat-01"].is_on
    assert find_interruption(ctx).is_none


def test_an_operation_of_a_persons_own_comes_first(ctx: Context, world: World) -> None:
    world.cut_in = 1
    with pytest.raises(Cut):
        drain_replica(ctx, "lab-chat-01", owner="operator:me")
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        find_interruption(ctx)


def test_in_the_end_pulumi_must_have_nothing_left_to_do(ctx: Context) -> None:
    require_clean(ctx)
    provisioner(ctx).changes = (Change("update", "vsphere:index/folder:Folder", "permafrost"),)
    with pytest.raises(Failed, match="PREVIEW_NOT_CLEAN: permafrost: Pulumi would still update"):
        require_clean(ctx)
