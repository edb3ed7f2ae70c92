"""What drift blocks, what a deployment mends, and what a person accepts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.errors import Refused
from permafrost.planning.reboot import Effect
from permafrost.runbook.context import Context
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica, preview_drain
from permafrost.runbook.drift import accept_settings, read_drift, record_baseline
from permafrost.runbook.status import read_status
from tests.fakes.machine import Machine
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.site import context
from tests.fakes.world import World

VM = "vsphere:index/virtualMachine:VirtualMachine"
ONE, TWO = "lab-chat-01", "lab-chat-02"


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """A site that was deployed, and whose settings were recorded by that."""
    made = context(tmp_path / "state", world)
    execute(made, make_plan(made))
    return made


def codes(ctx: Context) -> list[str]:
    return [d.code.value for d in read_drift(ctx).drift]


def provisioner(ctx: Context) -> FakeProvisioner:
    assert isinstance(ctx.provisioner, FakeProvisioner)
    return ctx.provisioner


def test_as_deployed_there_is_none(ctx: Context) -> None:
    assert codes(ctx) == []
    assert read_drift(ctx).has_baseline
    assert read_status(ctx).as_dict()["drift"] == []


def test_a_disabled_rule_blocks_the_drain_and_a_deployment_mends_it(
    ctx: Context, world: World
) -> None:
    world.rules_off.add("chat")
    assert codes(ctx) == ["DRIFT_RULE_DISABLED"]
    with pytest.raises(Refused, match="DRIFT_RULE_DISABLED: keep-apart-lab-chat"):
        preview_drain(ctx, ONE, owner="operator:me")
    rule = "vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule"
    made = provisioner(ctx)
    made.drifted = (Change("update", rule, "keep-apart-lab-chat"),)
    made.on_up = world.rules_off.clear
    plan = make_plan(ctx)
    assert [(s.kind, s.target) for s in plan.steps] == [("update-rule", "keep-apart-lab-chat")]
    assert any("DRIFT_RULE_DISABLED" in note for note in plan.notes)
    execute(ctx, plan)
    assert made.refreshed
    assert codes(ctx) == []
    assert preview_drain(ctx, ONE, owner="operator:me")[0].steps


def test_a_vm_that_does_not_say_whose_it_is_is_marked_as_it_runs(
    ctx: Context, world: World
) -> None:
    world.machines[ONE].is_marked = False
    assert codes(ctx) == ["DRIFT_OWNER_UNMARKED"]
    plan = make_plan(ctx)
    assert [(s.kind, s.target) for s in plan.steps] == [("mark", ONE)]
    assert not plan.is_pulumis
    assert plan.vms[ONE].effect is Effect.UNTOUCHED
    before = len(world.effects)
    execute(ctx, plan)
    assert world.effects[before:] == [f"mark {ONE}"]
    assert codes(ctx) == []
    assert make_plan(ctx).steps == ()


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (("fullyAutomated", "disabled"), "DRIFT_DRS_OVERRIDE"),
        (("manual", ""), "DRIFT_HA_OVERRIDE"),
    ],
)
def test_an_override_that_is_not_as_deployed_is_pulumis_to_mend(
    ctx: Context, world: World, own: tuple[str, str], code: str
) -> None:
    world.machines[ONE].overrides = own
    assert codes(ctx) == [code]
    made = provisioner(ctx)
    made.drifted = (Change("update", "vsphere:index/haVmOverride:HaVmOverride", ONE),)

    def mend() -> None:
        world.machines[ONE].overrides = None

    made.on_up = mend
    plan = make_plan(ctx)
    assert [(s.kind, s.target) for s in plan.steps] == [("update-ha-override", ONE)]
    execute(ctx, plan)
    assert made.refreshed
    assert codes(ctx) == []
    assert preview_drain(ctx, ONE, owner="operator:me")[0].steps


def test_an_override_that_the_first_deployment_with_it_made_is_no_drift(
    ctx: Context, world: World
) -> None:
    """A baseline of before says nothing of VMs whose override the program makes."""
    for machine in world.machines.values():
        machine.overrides = ("", "")
    record_baseline(ctx)
    for machine in world.machines.values():
        machine.overrides = None
    assert codes(ctx) == []


def test_without_drift_pulumi_does_not_look_again(ctx: Context) -> None:
    provisioner(ctx).drifted = (Change("update", "x", "y"),)
    assert make_plan(ctx).steps == ()


def test_drift_of_one_endpoint_does_not_hold_the_other(ctx: Context, world: World) -> None:
    world.rules_off.add("chat")
    assert preview_drain(ctx, "lab-pulse-01", owner="operator:me")[0].steps


def test_a_person_may_drain_despite_drift(ctx: Context, world: World) -> None:
    world.rules_off.add("chat")
    assert preview_drain(ctx, ONE, owner="operator:me", despite_drift=True)[0].steps


def test_a_replica_that_is_away_already_is_no_drain_to_refuse(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner="operator:me")
    world.rules_off.add("chat")
    assert preview_drain(ctx, ONE, owner="operator:me")[0].steps == ()


def test_a_stranger_with_our_device_blocks_both(ctx: Context, world: World) -> None:
    mine = world.machines[ONE]
    world.machines["stranger"] = Machine("stranger", mine.host, mine.gpus, is_on=False)
    for attempt in (lambda: preview_drain(ctx, ONE, owner="operator:me"), lambda: make_plan(ctx)):
        with pytest.raises(Refused, match="DRIFT_DEVICE_TAKEN: lab-chat-01") as caught:
            attempt()
        assert "stranger (off) holds" in caught.value.problems[0].message
    assert preview_drain(ctx, TWO, owner="operator:me")[0].steps, "its own device is not touched"


def test_a_lost_reservation_holds_its_own_replica_alone(ctx: Context, world: World) -> None:
    world.machines[ONE].is_reserved = False
    with pytest.raises(Refused, match="DRIFT_RESERVATION_LOST"):
        preview_drain(ctx, ONE, owner="operator:me")
    assert preview_drain(ctx, TWO, owner="operator:me")[0].steps
    assert make_plan(ctx).refreshes


def test_changed_settings_block_a_deployment_until_they_are_accepted(
    ctx: Context, world: World
) -> None:
    world.cluster = replace(world.cluster, ha_admission_control=False, drs_automation="manual")
    assert codes(ctx) == ["DRIFT_DRS_CHANGED", "DRIFT_HA_CHANGED"]
    with pytest.raises(Refused) as caught:
        make_plan(ctx)
    assert len(caught.value.problems) == 2
    ended = accept_settings(ctx, owner="operator:me").ended
    assert [d.code.value for d in ended] == ["DRIFT_DRS_CHANGED", "DRIFT_HA_CHANGED"]
    assert codes(ctx) == []
    assert make_plan(ctx).steps == ()
    assert [o.command for o in ctx.store.operations(1)] == ["drift --accept"]


def test_accepting_settings_accepts_nothing_else(ctx: Context, world: World) -> None:
    world.rules_off.add("chat")
    assert accept_settings(ctx, owner="operator:me").ended == ()
    assert codes(ctx) == ["DRIFT_RULE_DISABLED"]


def test_what_a_person_keeps_off_is_no_drift(ctx: Context, world: World) -> None:
    world.power_off(ONE)
    assert codes(ctx) == ["DRIFT_VM_OFF"]
    world.power_on(ONE, boot_s=0)
    world.machines[ONE].state = "ADMITTED"
    drain_replica(ctx, ONE, owner="operator:me", reason="fan")
    world.power_off(ONE)
    assert codes(ctx) == []


def test_a_blind_look_concludes_nothing(ctx: Context, world: World) -> None:
    world.vcenter_down = True
    world.rules_off.add("chat")
    assert read_status(ctx).as_dict()["drift"] == []
    assert preview_drain(ctx, ONE, owner="operator:me")[0].steps


def test_drift_between_plan_and_act_makes_the_plan_stale(ctx: Context, world: World) -> None:
    plan = make_plan(ctx)
    world.rules_off.add("chat")
    with pytest.raises(Refused, match="PLAN_STALE"):
        execute(ctx, plan)


def half_made(ctx: Context, world: World, *, served: bool) -> Context:
    """Leave a replica as an interrupted clone does: off, no device, nothing reserved."""
    machine = world.machines[ONE]
    machine.is_on, machine.gpus, machine.is_reserved = False, (), False
    if served:
        return ctx
    placement = ctx.store.placement()
    ctx.store.forget(ONE)
    ctx.store.record_placement(placement)
    return ctx


def test_what_an_interrupted_run_left_half_made_is_made_anew(ctx: Context, world: World) -> None:
    half_made(ctx, world, served=False)
    assert codes(ctx) == ["DRIFT_VM_UNFINISHED"]
    provisioner(ctx).drifted = (Change("create", VM, ONE),)
    plan = make_plan(ctx)
    assert plan.refreshes
    assert any("DRIFT_VM_UNFINISHED" in note for note in plan.notes)
    assert [s.kind for s in plan.steps] == ["create-vm"], "not powered on as it is"


def test_a_replica_that_served_and_lost_its_device_is_a_persons_business(
    ctx: Context, world: World
) -> None:
    half_made(ctx, world, served=True)
    with pytest.raises(Refused, match="DRIFT_DEVICE_MOVED"):
        make_plan(ctx)
