"""What is not built yet is placed and shown, and `deploy` refuses it: nothing is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.errors import Refused
from permafrost.planning.unsupported import unsupported
from permafrost.runbook.deploy import execute, make_plan
from tests.fakes.graphics import L40S, cards
from tests.fakes.site import context, small_site
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


def test_the_large_example_says_all_of_it_at_once() -> None:
    codes = {p.code for p in unsupported(example_site("three-racks"))}
    assert codes >= {"VGPU_UNSUPPORTED", "BACKEND_UNSUPPORTED"}
    assert unsupported(example_site("small")) == ()
    assert unsupported(small_site()) == ()
