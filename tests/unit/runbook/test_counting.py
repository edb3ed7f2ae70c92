"""What a receipt tells of the requests that came while an operation ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from permafrost.counts import Counts
from permafrost.runbook.context import Context
from permafrost.runbook.counting import begin_counting, counted_since
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.looking import COUNTED_S, note_counts
from tests.fakes.site import context, small_site
from tests.fakes.world import World

AT = ("lab-pulse-02", "a")


@pytest.fixture
def world() -> World:
    return World.of(small_site(pulse={"drain_deadline_s": 5}))


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    world.counted[AT] = Counts(1000, 7, 5, 3)
    return context(tmp_path / "state", world)


def told(ctx: Context) -> dict[str, Any]:
    """Drain a replica; return what its receipt says of requests."""
    path = drain_replica(ctx, "lab-pulse-01", owner="operator:me").receipt
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))["requests"]
    return found


def test_what_came_before_is_not_counted(ctx: Context, world: World) -> None:
    world.rate_per_tick = 0
    assert told(ctx) == {
        "completed": 0, "failed": 0, "retried": 0, "cut": 0, "not_counted": [],
    }  # fmt: skip


def test_completed_failed_retried_and_cut_are_told_apart(ctx: Context, world: World) -> None:
    world.rate_per_tick = 0

    def come(what: str, _: str) -> None:
        if what == "edge-drain":
            world.counted[AT] = Counts(1100, 11, 8, 5)

    world.watchers.append(come)
    assert told(ctx) == {
        "completed": 94, "failed": 4, "retried": 3, "cut": 2, "not_counted": [],
    }  # fmt: skip


def test_edges_that_the_last_step_asked_are_asked_anew_only_where_that_is_a_while_ago(
    ctx: Context, world: World
) -> None:
    world.rate_per_tick = 0
    begin_counting(ctx, "one")
    note_counts(ctx, ctx.traffic.observe())
    world.counted[AT] = Counts(1100, 7, 5, 3)
    assert counted_since(ctx, "one")["completed"] == 0
    ctx.clock.sleep(COUNTED_S + 0.1)
    assert counted_since(ctx, "one")["completed"] == 100


def test_an_edge_that_counts_anew_is_named(ctx: Context, world: World) -> None:
    world.rate_per_tick = 0
    world.watchers.append(lambda *_: world.counted.update({AT: Counts(4)}))
    assert told(ctx)["not_counted"] == ["lab-edge-01"]
