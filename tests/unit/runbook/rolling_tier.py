"""A knowledge tier whose members are configured anew, one in its turn after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.planning.knowledge import members, rolling_order
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.founding import FOUNDED
from permafrost.runbook.knowledge import read_knowledge
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.site import context
from tests.fakes.world import World
from tests.unit.runbook.test_members import site_with_knowledge

SITE = site_with_knowledge()
ONE, TWO, THREE = (n.name for n in members(SITE))
ORDER = [n.name for n in rolling_order(SITE)]


def tier() -> World:
    """Return a world whose tier is whole."""
    world = World.of(SITE)
    world.etcd_leader = ONE
    return world


def as_configured(ctx: Context, fingerprint: str) -> Context:
    """Note that every member is configured so, and that the cluster has answered right."""
    for node in members(SITE):
        ctx.store.record_converged(node.name, f"vm-{node.name}", fingerprint)
    ctx.store.remember(FOUNDED, {"version": "2.3.5"})
    return ctx


@pytest.fixture
def world() -> World:
    world = tier()
    world.watchers.append(lambda what, target: judge(world, what, target))
    return world


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return as_configured(context(tmp_path / "state", world), "old")


def judge(world: World, what: str, target: str) -> None:
    """Somebody answers right at every effect; who is configured serves and leads nothing."""
    tier = FakeVectorStore(world)
    doors = [n.name for n in members(world.site)]
    assert any(tier.canaries(door).is_right for door in doors), f"{what} {target}"
    if what == "configure" and target in doors and world.works(target):
        assert target in world.handed_over, f"{target} was configured while it served"
        assert tier.leader() != target
    if what == "hand-over":
        assert world.handed_over <= {target}, "another one is away already"


def deploy(ctx: Context, fingerprint: str = "new") -> None:
    """Do what the program does: each in its turn, none after one that failed."""
    for name in ORDER:
        converge_node(ctx, name, vm=f"vm-{name}", fingerprint=fingerprint)


def is_done(ctx: Context, fingerprint: str = "new") -> bool:
    return read_knowledge(ctx).is_ready and all(
        ctx.store.converged(n) == (f"vm-{n}", fingerprint) for n in ORDER
    )
