"""Plans as numbered lists, against golden files; what makes a plan stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.planning.deploy import Plan, as_lines, fingerprint_of, plan_deploy, plan_destroy
from permafrost.planning.lifecycle import Declared, DeclaredState
from permafrost.planning.live import LiveState
from permafrost.planning.placement import Placement, plan_placement
from permafrost.site.model import Site
from permafrost.topology import nodes
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.model_server import FakeModelServer
from tests.fakes.site import small_site
from tests.fakes.traffic_director import FakeTrafficDirector
from tests.fakes.world import World

GOLDEN = Path(__file__).resolve().parents[2] / "golden/plans"
VM = "vsphere:index/virtualMachine:VirtualMachine"
CONVERGENCE = "pulumi-python:dynamic/permafrost:Convergence"


def change(operation: str, type_: str, name: str) -> Any:
    return Change(operation, type_, name)


def seen(world: World) -> LiveState:
    models = FakeModelServer(world)
    names = [n.name for n in nodes(world.site) if n.endpoint and world.works(n.name)]
    return LiveState(
        FakeHypervisor(world).observe(),
        FakeTrafficDirector(world).observe(),
        {n: models.state(n) for n in names},
        declared={n: Declared(n, DeclaredState.ADMITTED, "deploy") for n in names},
    )


def placed(world: World) -> Placement:
    return plan_placement(world.site, FakeHypervisor(world).observe().hosts, Placement())


def first() -> Plan:
    """A site of which nothing stands yet."""
    world = World.of(small_site())
    placement = placed(world)
    world.machines.clear()
    changes = [change("create", "pulumi:pulumi:Stack", "permafrost-lab")]
    changes += [change("create", "vsphere:index/folder:Folder", "permafrost")]
    for node in nodes(world.site):
        changes.append(change("create", VM, node.name))
        changes.append(change("create", CONVERGENCE, node.name))
    live = LiveState(FakeHypervisor(world).observe())
    return plan_deploy(
        world.site, live, recorded=Placement(), placement=placement, changes=changes
    )


def after_a_crash() -> Plan:
    """One VM is off, one replica was left drained by a program, another by a person."""
    world = World.of(small_site(chat={"replicas": 3, "min_ready": 1}))
    world.power_off("lab-pulse-01")
    live = seen(world)
    declared = {
        **live.declared,
        "lab-chat-01": Declared("lab-chat-01", DeclaredState.DRAINED, "pulumi", "its VM", "T1"),
        "lab-chat-02": Declared("lab-chat-02", DeclaredState.DRAINED, "operator:a", "fan", "T2"),
    }
    live = replace(live, declared=declared)
    placement = placed(world)
    return plan_deploy(world.site, live, recorded=placement, placement=placement, changes=[])


def destruction() -> Plan:
    """Everything goes."""
    world = World.of(small_site())
    return plan_destroy(world.site, seen(world), placed(world))


@pytest.mark.parametrize("make", [first, after_a_crash, destruction])
def test_plans_read_as_they_should(make: Callable[[], Plan]) -> None:
    plan = make()
    text = "".join(f"{number}  {line}\n" for number, line in as_lines(plan).items())
    text += "".join(f"    {note}\n" for note in plan.notes)
    assert text == (GOLDEN / f"{make.__name__}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "alter",
    [
        lambda w: w.power_off("lab-chat-01"),
        lambda w: w.hosts.update({"lab-esx-01": replace(w.hosts["lab-esx-01"], connected=False)}),
        lambda w: w.machines.pop("lab-pulse-03"),
    ],
)
def test_a_plan_is_stale_when_what_it_was_made_from_has_changed(
    alter: Callable[[World], Any],
) -> None:
    world = World.of(small_site())
    site: Site = world.site
    before = fingerprint_of(site, seen(world), Placement())
    world.pass_time(5)
    assert fingerprint_of(site, seen(world), Placement()) == before, "load is no change"
    alter(world)
    assert fingerprint_of(site, seen(world), Placement()) != before


def test_what_a_maintenance_has_shut_down_is_not_switched_on() -> None:
    """A member of the knowledge tier has no declaration that would say so."""
    world = World.of(small_site())
    world.power_off("lab-chat-01")
    live = replace(seen(world), declared={})

    def planned(kept_off: set[str]) -> Plan:
        where = placed(world)
        return plan_deploy(
            world.site, live, recorded=where, placement=where, changes=(), kept_off=kept_off
        )

    assert [(s.kind, s.target) for s in planned(set()).of_kind("power-on")] == [
        ("power-on", "lab-chat-01")
    ]
    kept = planned({"lab-chat-01", "lab-chat-02"})
    assert kept.of_kind("power-on") == ()
    assert [n for n in kept.notes if "stays off" in n] == [
        f"lab-chat-01 stays off: {world.machines['lab-chat-01'].host} is in maintenance"
    ]
