"""A change of members in turns is killed: run again, it reaches the same end."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.founding import FOUNDED
from tests.fakes.killing import another_process
from tests.fakes.site import context
from tests.fakes.world import Cut, World
from tests.unit.runbook.rolling_tier import (
    ONE,
    SITE,
    THREE,
    TWO,
    ctx,
    deploy,
    is_done,
    judge,
    world,
)

__all__ = ["ctx", "world"]


class Countdown:
    """Kills the process at the n-th time that it asks whether it may go on; None: it lives."""

    def __init__(self, ctx: Context, left: int | None) -> None:
        self.passed, self._left, self._guard = 0, left, ctx.guard

    def __call__(self) -> None:
        self.passed += 1
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Cut
        self._guard()


def killed_at(ctx: Context, moment: int | None) -> Countdown:
    countdown = Countdown(ctx, moment)
    ctx.guard = countdown  # type: ignore[method-assign]
    return countdown


def moments(tmp_path: Path) -> int:
    """Return how often a whole deployment asks whether it may go on."""
    world = World.of(SITE)
    world.etcd_leader = ONE
    ctx = context(tmp_path / "counted", world)
    ctx.store.remember(FOUNDED, {"version": "2.3.5"})
    countdown = killed_at(ctx, None)
    deploy(ctx)
    return countdown.passed


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(4))
@pytest.mark.exhaustive(1)
def test_killed_anywhere_the_next_run_reaches_the_same_end(tmp_path: Path, part: int) -> None:
    """Every moment at which it asks whether it may go on, and around every effect."""
    count = moments(tmp_path)
    assert count > 30
    for moment in range(part, count, 4):
        world = World.of(SITE)
        world.etcd_leader = ONE
        world.watchers.append(lambda what, target, world=world: judge(world, what, target))
        ctx = context(tmp_path / f"guard-{moment}" / "state", world)
        ctx.store.remember(FOUNDED, {"version": "2.3.5"})
        killed_at(ctx, moment)
        with pytest.raises(Cut):
            deploy(ctx)
        after = another_process(ctx, world)
        deploy(after)
        assert is_done(after), moment


@pytest.mark.exhaustive(6)
@pytest.mark.parametrize("moment", range(12))
@pytest.mark.parametrize("changed_again", [False, True])
def test_killed_around_an_effect_the_next_run_reaches_the_same_end(
    ctx: Context, world: World, moment: int, changed_again: bool
) -> None:
    """Also where the configuration changes meanwhile: then another one's turn is first."""
    world.cut_in = moment
    with pytest.raises(Cut):
        deploy(ctx)
    after = another_process(ctx, world)
    wanted = "newer" if changed_again else "new"
    deploy(after, wanted)
    assert is_done(after, wanted)


def test_whose_turn_was_cut_off_is_started_before_another_one_goes(
    ctx: Context, world: World
) -> None:
    world.cut_in = 1
    with pytest.raises(Cut):
        converge_node(ctx, TWO, vm="x", fingerprint="new")
    assert world.handed_over == {TWO}
    after = another_process(ctx, world)
    converge_node(after, THREE, vm="x", fingerprint="new")
    done = [effect for effect in world.effects if not effect.startswith("restart ")]
    assert done[-3:] == [f"take-up {TWO}", f"hand-over {THREE}", f"configure {THREE}"]
