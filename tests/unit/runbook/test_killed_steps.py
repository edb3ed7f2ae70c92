"""The steps at which live commands are killed are those that their plans have, all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.planning.canary import canary_of
from permafrost.planning.maintenance import HostStep
from permafrost.planning.placement import Slot
from permafrost.planning.slot_steps import SlotStep
from permafrost.planning.steps import OperationPlan
from permafrost.planning.upgrade import Strategy, Wish
from permafrost.runbook.actions import HOST, REPLICA, SLOT
from permafrost.runbook.context import Context
from permafrost.runbook.maintenance import enter, preview_enter, preview_exit
from permafrost.runbook.upgrade import preview_upgrade
from tests.acceptance.kills import BESIDE, IN_AND_OUT, MAINTENANCE, NOT_IN_THEM, ROLLING
from tests.fakes.site import context, small_site
from tests.fakes.world import World

ESX, ME, NEW = "lab-esx-01", "operator:me", "sha256:" + "d" * 64


def kinds(plan: OperationPlan) -> list[str]:
    """Return the kinds of a plan's steps, each where it comes first."""
    return list(dict.fromkeys(step.kind for step in plan.steps))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    world = World.of(small_site())
    ctx = context(tmp_path / "state", world)
    placed = {
        m.name: Slot(m.host, world.hosts[m.host].moid, m.gpus) for m in world.machines.values()
    }
    ctx.store.record_placement(placed)
    return ctx


def test_of_a_maintenance(ctx: Context) -> None:
    assert kinds(preview_enter(ctx, ESX, owner=ME)) == MAINTENANCE["enter"]
    enter(ctx, ESX, owner=ME)
    assert kinds(preview_exit(ctx, ESX, owner=ME)) == MAINTENANCE["exit"]


def test_of_an_upgrade(ctx: Context) -> None:
    assert kinds(preview_upgrade(ctx, "pulse", NEW, Wish(ME))) == BESIDE
    rolling = Wish(ME, allow_mixed=True, way=Strategy.ROLLING, canary=canary_of(20, 10), pins_s=5)
    assert kinds(preview_upgrade(ctx, "pulse", NEW, rolling)) == ROLLING


def test_no_kind_is_forgotten() -> None:
    """A new kind of step fails here until it is killed live, or said to be in none of them."""
    known = {*(k for steps in MAINTENANCE.values() for k in steps), *BESIDE, *ROLLING}
    assert {way_in for way_in, _ in IN_AND_OUT} <= set(MAINTENANCE["enter"])
    assert {way_out for _, way_out in IN_AND_OUT} <= set(MAINTENANCE["exit"])
    assert {*HOST, *REPLICA, *SLOT} == known | NOT_IN_THEM
    assert {*map(str, HostStep), *map(str, SlotStep)} <= known | NOT_IN_THEM
