"""While a version goes up no query node that comes is given segments of an older leader."""

from __future__ import annotations

import pytest

from permafrost.planning.knowledge import members
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from tests.fakes.world import World
from tests.unit.runbook.rolling_tier import ONE, SITE, THREE, TWO
from tests.unit.runbook.test_rolling import ctx, world

__all__ = ["ctx", "world"]
OLD, NEW = "2.3.4", "2.3.5"


def goes_up(world: World) -> None:
    """Query nodes are of the version that their members have been configured as."""
    has = {TWO: OLD, THREE: OLD}
    world.query.versions = frozenset(has.values())

    def configured(what: str, target: str) -> None:
        if what == "configure" and target in has:
            assert world.query.is_held, "before one that comes could be given anything"
            has[target] = NEW
            world.query.versions = frozenset(has.values())

    world.watchers.append(configured)


def test_it_is_held_from_before_the_first_goes_until_the_last_is_back(
    ctx: Context, world: World
) -> None:
    goes_up(world)
    converge_node(ctx, TWO, vm="vm", fingerprint="new")
    at = [e.split()[0] for e in world.effects]
    assert at.index("hold-balance") < at.index("hand-over") < at.index("configure")
    assert world.query.is_held, "the other one is of the version before"
    converge_node(ctx, ONE, vm="vm", fingerprint="new")
    assert world.query.is_held
    converge_node(ctx, THREE, vm="vm", fingerprint="new")
    assert not world.query.is_held
    assert world.effects[-1].startswith("release-balance")


def test_a_change_within_a_version_holds_nothing(ctx: Context, world: World) -> None:
    for node in members(SITE):
        converge_node(ctx, node.name, vm="vm", fingerprint="new")
    assert not [e for e in world.effects if "balance" in e]


@pytest.mark.parametrize("held", [True, False])
def test_what_a_killed_process_left_held_the_next_turn_releases(
    ctx: Context, world: World, held: bool
) -> None:
    world.query.is_held = held
    converge_node(ctx, TWO, vm="vm", fingerprint="new")
    assert not world.query.is_held
    assert any("release-balance" in e for e in world.effects) is held
