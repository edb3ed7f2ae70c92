"""A registry on a VM of the site: made first, then filled, then everything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.errors import Failed, Problem, Refused
from permafrost.planning.edge_target import emptiest_host
from permafrost.planning.ok_to_stop import ok_to_stop
from permafrost.planning.stop_verdict import Kind
from permafrost.runbook.context import Context
from permafrost.runbook.converge import check_node, converge_node
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.looking import look
from permafrost.runbook.maintenance import enter, judge, leave, preview_enter
from permafrost.runbook.preflight import read_preflight
from permafrost.runbook.registry_contents import pins_fingerprint, require_contents
from permafrost.runbook.status import read_status
from permafrost.topology import registry_node
from tests.fakes.catalog import FakeCatalog
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.site import context, registry_site, small_site
from tests.fakes.world import World

NODE = "lab-registry-01"
VM = "vsphere:index/virtualMachine:VirtualMachine"
CONVERGENCE = "pulumi-python:dynamic/permafrost:Convergence"
CONTENTS = "pulumi-python:dynamic/permafrost:RegistryContents"
EVERYTHING = frozenset(pin for e in small_site().inference.values() for pin in (e.model, e.image))


@pytest.fixture
def world() -> World:
    return World.of(registry_site())


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """The registry answers while its machine works."""
    made = context(tmp_path / "state", world)
    catalog(made).unreachable = lambda: not world.works(NODE)
    return made


def catalog(ctx: Context) -> FakeCatalog:
    assert isinstance(ctx.catalog, FakeCatalog)
    return ctx.catalog


def provisioner(ctx: Context) -> FakeProvisioner:
    assert isinstance(ctx.provisioner, FakeProvisioner)
    return ctx.provisioner


def test_it_is_placed_and_its_capacity_is_said(ctx: Context) -> None:
    plan = make_plan(ctx)
    assert plan.unsupported == ()
    assert plan.placement[NODE].host
    assert not plan.placement[NODE].gpus
    (capacity,) = (c for c in plan.capacity if c.group == "registry")
    assert (capacity.members, capacity.survives) == (1, 0)


def is_to_be_made(ctx: Context, world: World) -> None:
    """Let Pulumi make the registry's VM first, and go on only once it is filled."""
    machine = world.machines.pop(NODE)
    provisioner(ctx).changes = (
        Change("create", VM, NODE),
        Change("create", CONVERGENCE, NODE),
        Change("create", CONTENTS, f"{NODE}-contents"),
    )

    def up() -> None:
        world.machines[NODE] = machine
        converge_node(ctx, NODE, vm="a vm", fingerprint="as it is")
        try:
            require_contents(ctx)
        except Refused as error:
            # As the engine passes it on: the first line of the first problem.
            raise Failed(Problem(error.code, error.problems[0].message, "registry.node")) from None

    provisioner(ctx).on_up = up


def test_a_first_deployment_makes_it_says_what_to_push_and_a_second_goes_on(
    ctx: Context, world: World
) -> None:
    is_to_be_made(ctx, world)
    catalog(ctx).missing = EVERYTHING
    plan = make_plan(ctx)
    assert any(note.startswith(f"{NODE} comes first") for note in plan.notes)
    assert any("whether the models of chat fit their GPUs" in note for note in plan.notes)
    assert [s.kind for s in plan.steps if s.target.startswith(NODE)][-3:] == [
        "create-vm",
        "converge",
        "check",
    ]
    with pytest.raises(Failed) as caught:
        execute(ctx, plan)
    first, *rest = caught.value.problems
    assert (first.code, first.path) == ("REGISTRY_NOT_FILLED", "registry.node")
    assert "permafrost model push" in first.hint
    assert "docker://10.64.1.110:5000/NAME" in first.hint
    assert "images/triton" in first.hint
    assert {p.code for p in rest} == {"CHECKPOINT_MISSING", "IMAGE_MISSING"}
    assert "configure " + NODE in world.effects
    with pytest.raises(Refused, match="REGISTRY_NOT_FILLED"):
        make_plan(ctx)
    catalog(ctx).missing = frozenset()
    assert execute(ctx, make_plan(ctx))["healthy"]


def test_a_registry_that_is_silent_and_that_no_step_mends_is_refused(
    ctx: Context, world: World
) -> None:
    execute(ctx, make_plan(ctx))
    catalog(ctx).unreachable = lambda: True
    with pytest.raises(Failed) as caught:
        make_plan(ctx)
    assert caught.value.code == "REGISTRY_UNREACHABLE"


def test_one_that_is_off_is_powered_on_before_anything_pulls(ctx: Context, world: World) -> None:
    execute(ctx, make_plan(ctx))
    world.machines[NODE].is_on = False
    provisioner(ctx).changes = (Change("update", CONVERGENCE, "lab-chat-01"),)
    world.effects.clear()
    execute(ctx, make_plan(ctx))
    assert world.effects.index(f"power-on {NODE}") < world.effects.index("up stack")
    assert world.effects.count(f"power-on {NODE}") == 1


def test_a_deployment_ends_only_when_it_answers(ctx: Context) -> None:
    plan = make_plan(ctx)
    catalog(ctx).unreachable = lambda: True
    with pytest.raises(Failed) as caught:
        execute(ctx, plan)
    assert "REGISTRY_UNREACHABLE" in {p.code for p in caught.value.problems}


def test_it_is_configured_while_it_serves_and_then_asked(ctx: Context, world: World) -> None:
    assert converge_node(ctx, NODE).changed == 1
    assert [e for e in world.effects if "drain" in e] == []
    assert check_node(ctx, NODE).node == NODE
    catalog(ctx).unreachable = lambda: True
    with pytest.raises(Failed) as caught:
        converge_node(ctx, NODE)
    assert caught.value.code == "REGISTRY_UNREACHABLE"


def test_a_registry_that_is_there_is_asked_nothing_more_than_the_pins(
    tmp_path: Path,
) -> None:
    ctx = context(tmp_path / "state", World.of(small_site()))
    catalog(ctx).missing = EVERYTHING
    with pytest.raises(Refused) as caught:
        make_plan(ctx)
    assert {p.code for p in caught.value.problems} == {"CHECKPOINT_MISSING", "IMAGE_MISSING"}


def test_other_pins_are_looked_up_again() -> None:
    site = registry_site()
    assert pins_fingerprint(site) == pins_fingerprint(registry_site())
    chat = site.inference["chat"].model_copy(update={"model": "chat@sha256:" + "0" * 64})
    other = site.model_copy(update={"inference": {**site.inference, "chat": chat}})
    assert pins_fingerprint(other) != pins_fingerprint(site)


def test_the_status_shows_whether_it_answers(ctx: Context, world: World) -> None:
    status = read_status(ctx)
    assert status.registry is not None
    assert status.is_healthy
    assert status.as_dict()["registry"] == {
        "name": NODE,
        "address": "10.64.1.110",
        "host": world.machines[NODE].host,
        "power": "ON",
        "state": "UP",
        "reason": "",
    }
    catalog(ctx).unreachable = lambda: True
    status = read_status(ctx)
    assert not status.is_healthy
    assert status.registry is not None
    assert (status.registry.is_on, status.registry.silent) == (True, "it does not answer")
    del world.machines[NODE]
    status = read_status(ctx)
    told = status.as_dict()["registry"]
    assert (told["power"], told["state"], told["reason"]) == ("OFF", "DOWN", "its VM is not on")
    assert not status.is_healthy


def test_the_hosts_name_it_and_what_is_left_without_one(tmp_path: Path) -> None:
    world = World.of(registry_site(), hosts=7)
    world.machines[NODE].host = "lab-esx-07"
    told = read_status(context(tmp_path / "state", world)).as_dict()["hosts"]
    (host,) = (h for h in told if h["name"] == "lab-esx-07")
    assert host == {
        "name": "lab-esx-07",
        "vms": [{"name": NODE, "group": "registry"}],
        "if_lost": {"registry": 0},
    }


def test_without_vcenter_it_is_asked_whether_it_answers(ctx: Context, world: World) -> None:
    world.vcenter_down = True
    told = read_status(ctx).as_dict()["registry"]
    assert (told["power"], told["state"], told["reason"]) == ("UNKNOWN", "UP", "")
    catalog(ctx).unreachable = lambda: True
    told = read_status(ctx).as_dict()["registry"]
    assert (told["power"], told["state"], told["reason"]) == (
        "UNKNOWN",
        "DOWN",
        "it does not answer",
    )


def test_its_disk_counts_where_space_is_looked_at(ctx: Context, world: World) -> None:
    def needed() -> str:
        checks = read_preflight(ctx).checks
        return next(c.needed for c in checks if c.code == "PREFLIGHT_DATASTORE_TOO_SMALL")

    assert needed().startswith("0 GiB"), "its VMs are all there"
    del world.machines[NODE]
    assert needed() == "548 GiB for the disks of 1 new VMs", "40 system, 500 data, 8 swap"


def test_what_it_would_have_told_is_said_while_it_is_silent(ctx: Context) -> None:
    def unseen() -> set[str]:
        checks = read_preflight(ctx).checks
        return {c.target for c in checks if c.code == "PREFLIGHT_CHECKPOINT_UNSEEN"}

    assert unseen() == set()
    catalog(ctx).unreachable = lambda: True
    assert unseen() == {"inference.chat.model"}
    catalog(ctx).unreachable = lambda: False
    catalog(ctx).missing = EVERYTHING
    assert unseen() == {"inference.chat.model"}, "one that answers and lacks it tells nothing"


def test_its_host_may_go_and_it_moves_away_first(ctx: Context, world: World) -> None:
    execute(ctx, make_plan(ctx))
    host = world.machines[NODE].host
    live = look(ctx)
    machines = tuple(
        replace(vm, address="10.64.1.110") if vm.name == NODE else vm for vm in live.inventory.vms
    )
    live = replace(live, inventory=replace(live.inventory, vms=machines))
    asked = [("the registry", "10.64.1.110")]
    placed = ctx.store.placement()
    verdict = ok_to_stop(ctx.site, live, Kind.HOST, host, recorded=placed, services=asked)
    assert "SERVICE_STOPS" not in {p.code for p in verdict.problems}
    assert any("moves to another host while it runs" in note for note in verdict.notes)
    alone = ok_to_stop(ctx.site, live, Kind.VM, NODE, recorded=placed, services=asked)
    assert alone.is_ok
    assert any("stops: replicas serve on without it" in note for note in alone.notes)
    steps = [(s.kind, s.target) for s in preview_enter(ctx, host, owner="operator:ada").steps]
    assert ("move-vm", NODE) in steps
    assert steps.index(("move-vm", NODE)) < steps.index(("enter-maintenance-mode", host))
    enter(ctx, host, owner="operator:ada")
    assert world.machines[NODE].host != host
    assert world.machines[NODE].is_on
    leave(ctx, host, owner="operator:ada")
    assert world.machines[NODE].host == host


def test_without_a_place_for_it_a_host_does_not_go(ctx: Context, world: World) -> None:
    execute(ctx, make_plan(ctx))
    host = world.machines[NODE].host
    for name, facts in world.hosts.items():
        world.hosts[name] = replace(facts, in_maintenance=name != host)
    node = registry_node(ctx.site)
    assert node is not None
    with pytest.raises(Refused) as caught:
        emptiest_host(look(ctx), node, judge(ctx, Kind.HOST, host))
    assert caught.value.code == "REGISTRY_CANNOT_MOVE"
