"""Deploy and destroy over a simulated site."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.engine.state import DeclaredState
from permafrost.errors import Failed, Held, Refused
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.destroy import execute_destroy, make_destroy_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.history import show
from permafrost.site.model import Signatures
from tests.fakes.catalog import FakeCatalog
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.site import context
from tests.fakes.world import Cut, World

ONE = "lab-chat-01"


def settled(ctx: Context) -> Context:
    """Record the placement, as a first deployment does."""
    execute(ctx, make_plan(ctx))
    return ctx


def change(operation: str, type_: str, name: str) -> Any:
    return Change(operation, type_, name)


def provisioner(ctx: Context) -> FakeProvisioner:
    assert isinstance(ctx.provisioner, FakeProvisioner)
    return ctx.provisioner


def steps(ctx: Context) -> list[str]:
    return [f"{s.id} {s.kind} {s.target}" for s in make_plan(ctx).steps]


def test_a_settled_site_has_zero_steps_and_is_still_verified(ctx: Context, world: World) -> None:
    settled(ctx)
    world.effects.clear()
    plan = make_plan(ctx)
    assert plan.steps == ()
    receipt = execute(ctx, plan)
    assert receipt["changed"] == 0
    assert receipt["healthy"]
    assert world.effects == []
    world.machines[ONE].state = "OUT"
    with pytest.raises(Failed, match="REPLICA_NOT_ADMITTED"):
        execute(ctx, make_plan(ctx))


def test_pulumis_changes_become_named_steps(ctx: Context) -> None:
    settled(ctx)
    provisioner(ctx).changes = (
        change("create", "pulumi:pulumi:Stack", "permafrost-lab"),
        change("create", "permafrost:site:NodeVm", ONE),
        change("update", "vsphere:index/virtualMachine:VirtualMachine", ONE),
        change("create", "vsphere:index/computeClusterVmAntiAffinityRule:X", "keep-apart-chat"),
        change("create", "pulumi-python:dynamic/permafrost:Convergence", ONE),
    )
    assert steps(ctx) == [
        f"01 update-vm {ONE}",
        "02 create-x keep-apart-chat",
        f"03 converge {ONE}",
    ]


def test_the_plan_says_which_vm_is_power_cycled_and_why(ctx: Context) -> None:
    settled(ctx)
    vm = "vsphere:index/virtualMachine:VirtualMachine"
    sizes = {"memory": 4096, "memoryReservation": 4096, "firmware": "efi"}
    old = {"numCpus": 4, "pciDeviceIds": ["0000:3b:00.0"], "forcePowerOff": False, **sizes}
    provisioner(ctx).changes = (
        Change("update", vm, ONE, {"numCpus": "update"}, old, {**old, "numCpus": 8}),
        Change("update", vm, "lab-chat-02", {"annotation": "update"}, old, old),
        Change("replace", vm, "lab-chat-03", {"clone.templateUuid": "update"}, old, old),
    )
    plan = make_plan(ctx)
    assert [s.detail.partition(" (")[0] for s in plan.steps] == [
        "power-cycled",
        "untouched",
        "replaced",
    ]
    vms = plan.as_dict()["vms"]
    assert vms[ONE]["properties"] == [
        {
            "property": "numCpus",
            "effect": "power-cycled",
            "why": "4 to 8, and cpuHotAddEnabled is not on",
        }
    ]
    assert vms["lab-edge-01"] == {"effect": "untouched", "properties": []}
    assert len(vms) == 7


def test_pulumi_runs_with_the_lock_token(ctx: Context, world: World) -> None:
    settled(ctx)
    made = provisioner(ctx)
    made.changes = (change("update", "vsphere:index/virtualMachine:VirtualMachine", ONE),)

    def up() -> None:
        holder = ctx.store.lock.holder()
        assert holder is not None
        assert holder.token == made.tokens[-1]

    made.on_up = up
    receipt = execute(ctx, make_plan(ctx))
    assert world.effects == ["up stack"]
    assert ctx.store.lock.holder() is None
    stored = json.loads(Path(receipt["receipt"]).read_text(encoding="utf-8"))
    assert stored["steps"] == receipt["steps"]
    assert stored["environment"] == "lab"
    told = show(ctx, stored["operation"])
    assert (told["command"], told["state"]) == ("deploy", "done")
    assert told["receipt"] == receipt["receipt"]


def test_the_first_plan_places_every_node(ctx: Context) -> None:
    plan = make_plan(ctx)
    assert [s.kind for s in plan.steps] == ["place"] * 7
    assert not plan.is_pulumis
    execute(ctx, plan)
    assert ctx.store.placement() == plan.placement


def test_vms_that_are_off_are_powered_on_and_admitted(ctx: Context, world: World) -> None:
    settled(ctx)
    world.power_off(ONE)
    assert steps(ctx) == [f"01 power-on {ONE}"]
    execute(ctx, make_plan(ctx))
    assert world.takes_requests(ONE)


def test_one_that_is_off_and_configured_anew_is_powered_on_before_that(
    ctx: Context, world: World
) -> None:
    """Pulumi leaves its VM alone, and nothing that is off can be configured."""
    settled(ctx)
    world.power_off(ONE)
    convergence = change("update", "pulumi-python:dynamic/permafrost:Convergence", ONE)
    provisioner(ctx).changes = (convergence,)
    assert steps(ctx) == [f"01 converge {ONE}", f"02 power-on {ONE}"]
    was_on: list[bool] = []
    provisioner(ctx).on_up = lambda: was_on.append(world.machines[ONE].is_on)
    execute(ctx, make_plan(ctx))
    assert was_on == [True]
    world.power_off(ONE)
    vm = change("update", "vsphere:index/virtualMachine:VirtualMachine", ONE)
    provisioner(ctx).changes = (vm, convergence)
    assert steps(ctx) == [f"01 update-vm {ONE}", f"02 converge {ONE}"], "Pulumi powers it on"


def test_what_a_program_left_away_is_admitted(ctx: Context, world: World) -> None:
    settled(ctx)
    drain_replica(ctx, ONE, owner="pulumi")
    assert steps(ctx) == [f"01 admit {ONE}"]
    execute(ctx, make_plan(ctx))
    assert ctx.store.declared()[ONE].state is DeclaredState.ADMITTED


def test_what_a_person_drained_stays_away(ctx: Context, world: World) -> None:
    settled(ctx)
    drain_replica(ctx, ONE, owner="operator:me", reason="fan")
    world.power_off(ONE)
    plan = make_plan(ctx)
    assert plan.steps == ()
    assert "fan" in plan.notes[0]
    assert not execute(ctx, plan)["healthy"]
    assert not world.machines[ONE].is_on


def test_a_stale_plan_is_refused(ctx: Context, world: World) -> None:
    settled(ctx)
    plan = make_plan(ctx)
    world.power_off(ONE)
    world.effects.clear()
    with pytest.raises(Refused, match="PLAN_STALE"):
        execute(ctx, plan)
    assert world.effects == []


def test_two_deployments_do_not_meet(ctx: Context) -> None:
    settled(ctx)
    plan = make_plan(ctx)
    with ctx.store.lock.held("deploy"), pytest.raises(Held, match="SITE_HELD"):
        execute(ctx, plan)


def test_missing_pins_are_refused_all_at_once(ctx: Context) -> None:
    chat, pulse = ctx.site.inference["chat"], ctx.site.inference["pulse"]
    ctx.catalog = FakeCatalog(frozenset({chat.model, chat.image}), frozenset({pulse.model}))
    with pytest.raises(Refused) as caught:
        make_plan(ctx)
    assert [(p.code, p.path) for p in caught.value.problems] == [
        ("CHECKPOINT_MISSING", "inference.chat.model"),
        ("IMAGE_MISSING", "inference.chat.image"),
        ("FINGERPRINT_MISSING", "inference.pulse.model"),
        ("IMAGE_MISSING", "inference.pulse.image"),
    ]


@pytest.mark.parametrize(
    ("signatures", "code"), [(0, "SIGNATURE_MISSING"), (2, "SIGNATURE_UNTRUSTED")]
)
def test_a_checkpoint_without_the_demanded_signature_is_not_deployed(
    tmp_path: Path, world: World, signatures: int, code: str
) -> None:
    demanded = Signatures(signers={"release": "release.pub"})
    registry = world.site.registry.model_copy(update={"signatures": demanded})
    world.site = world.site.model_copy(update={"registry": registry})
    ctx = context(tmp_path / "signed", world)
    ctx.catalog = FakeCatalog(signatures=signatures)
    with pytest.raises(Refused) as caught:
        make_plan(ctx)
    assert [(p.code, p.path) for p in caught.value.problems] == [
        (code, "inference.chat.model"),
        (code, "inference.pulse.model"),
    ]
    # A typed `pulumi up` meets the same demand before it touches a node
    with pytest.raises(Refused, match=code):
        converge_node(ctx, ONE, vm="another", fingerprint="another")
    assert world.effects == []
    ctx.catalog = FakeCatalog(signatures=1, signed_by=("release",))
    make_plan(ctx)


def test_a_deployment_that_was_killed_is_run_again(tmp_path: Path, world: World) -> None:
    state = tmp_path / "state"
    for cut in range(12):
        ctx = context(state, world)
        world.power_off(ONE)
        world.cut_in = cut
        with suppress(Cut):
            execute(ctx, make_plan(ctx))
        world.cut_in = None
        again = context(state, world)
        execute(again, make_plan(again))
        assert world.takes_requests(ONE), cut
        assert make_plan(again).steps == ()


def test_destroy_names_what_goes_and_forgets_it(ctx: Context, world: World) -> None:
    settled(ctx)
    plan = make_destroy_plan(ctx)
    assert [s.kind for s in plan.steps] == ["destroy-vm"] * 7 + ["destroy-stack"]
    receipt = execute_destroy(ctx, plan)
    assert receipt["changed"] == 8
    assert world.machines == {}
    assert ctx.store.declared() == {}
    assert len(ctx.store.placement()) == 0
