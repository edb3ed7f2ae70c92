"""What is not built yet is placed and shown, and `deploy` refuses it: nothing is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.errors import Refused
from permafrost.planning.unsupported import unsupported
from permafrost.runbook.converge import check_node, converge_node
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.preflight import read_preflight
from permafrost.runbook.status import read_status
from permafrost.site.model import Site
from tests.fakes.graphics import L40S, cards
from tests.fakes.site import context, document, small_site
from tests.fakes.sites import example_site
from tests.fakes.world import World


def test_a_vgpu_is_placed_and_refused(tmp_path: Path) -> None:
    world = World.of(small_site())
    ctx = context(tmp_path / "state", world)
    gpu = {"mode": "vgpu", "profile": "grid_l40s-12c", "vendor_device": None}
    asks = small_site(chat={"gpu": gpu})
    world.site = asks
    world.hosts = {
        name: replace(host, cards=cards(1), vgpu_profiles=L40S)
        for name, host in world.hosts.items()
    }
    ctx.loaded = type(ctx.loaded)(asks, ctx.loaded.path)
    plan = make_plan(ctx)
    assert [p.code for p in plan.unsupported] == ["VGPU_UNSUPPORTED"]
    assert plan.placement["lab-chat-01"].host
    assert not plan.is_pulumis
    before = list(world.effects)
    with pytest.raises(Refused) as caught:
        execute(ctx, plan)
    assert caught.value.code == "VGPU_UNSUPPORTED"
    assert caught.value.problems[0].path == "inference.chat.gpu.mode"
    assert world.effects == before
    assert not ctx.store.placement()


def with_registry() -> Site:
    values = document()
    values["registry"] |= {"url": "oci://10.64.1.110:5000", "node": {"address": "10.64.1.110"}}
    return Site.model_validate(values)


def test_a_registry_of_the_sites_own_is_placed_shown_and_refused(tmp_path: Path) -> None:
    world = World.of(small_site())
    ctx = context(tmp_path / "state", world)
    site = with_registry()
    ctx.loaded = replace(ctx.loaded, site=site)
    plan = make_plan(ctx)
    assert [(p.code, p.path) for p in plan.unsupported] == [
        ("REGISTRY_VM_UNSUPPORTED", "registry.node")
    ]
    assert plan.placement["lab-registry-01"].host
    assert not plan.placement["lab-registry-01"].gpus
    (capacity,) = (c for c in plan.capacity if c.group == "registry")
    assert (capacity.members, capacity.survives) == (1, 0)
    before = list(world.effects)
    with pytest.raises(Refused) as caught:
        execute(ctx, plan)
    assert caught.value.code == "REGISTRY_VM_UNSUPPORTED"
    for configure in (converge_node, check_node):
        with pytest.raises(Refused) as caught:
            configure(ctx, "lab-registry-01")
        assert caught.value.code == "REGISTRY_VM_UNSUPPORTED"
    assert world.effects == before
    assert not ctx.store.placement()


def test_the_status_shows_a_registry_of_the_sites_own(tmp_path: Path) -> None:
    world = World.of(small_site())
    ctx = context(tmp_path / "state", world)
    assert read_status(ctx).registry is None
    ctx.loaded = replace(ctx.loaded, site=with_registry())
    status = read_status(ctx)
    assert status.registry is not None
    assert status.as_dict()["registry"] == {
        "name": "lab-registry-01",
        "address": "10.64.1.110",
        "host": None,
        "power": "OFF",
    }
    assert not status.is_healthy


def test_its_disk_counts_where_space_is_looked_at(tmp_path: Path) -> None:
    world = World.of(small_site())
    ctx = context(tmp_path / "state", world)

    def needed() -> str:
        checks = read_preflight(ctx).checks
        return next(c.needed for c in checks if c.code == "PREFLIGHT_DATASTORE_TOO_SMALL")

    assert needed().startswith("0 GiB"), "its VMs are all there"
    ctx.loaded = replace(ctx.loaded, site=with_registry())
    assert needed() == "548 GiB for the disks of 1 new VMs", "40 system, 500 data, 8 swap"


def test_the_large_example_says_all_of_it_at_once() -> None:
    codes = {p.code for p in unsupported(example_site("three-racks"))}
    assert codes >= {"VGPU_UNSUPPORTED", "BACKEND_UNSUPPORTED", "REGISTRY_VM_UNSUPPORTED"}
    assert unsupported(example_site("small")) == ()
    assert unsupported(small_site()) == ()
