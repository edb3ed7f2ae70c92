"""Three levels of force: each waives what it names, says so, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from permafrost.errors import PermafrostError
from permafrost.planning.force import Force
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.recovery import resume_run
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import context, small_site
from tests.fakes.world import Cut, World

ME = "operator:me"
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]


@pytest.fixture
def world() -> World:
    return World.of(small_site(pulse={"drain_deadline_s": 5}))


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    found = context(tmp_path / "state", world)
    drain_replica(found, PULSE[0], owner=ME)
    return found


def code(ctx: Context, name: str, force: Force | None) -> str:
    """Return why a drain is refused; empty where it is done."""
    try:
        drain_replica(ctx, name, owner=ME, force=force)
    except PermafrostError as error:
        return error.code
    return ""


def told(ctx: Context) -> tuple[str, list[str]]:
    """Return level and what was waived, out of the latest receipt."""
    run = ctx.store.runs.all(1)[0]
    before = json.loads(Path(run.receipt).read_text(encoding="utf-8"))["before"]
    return before["force"], before["waived"]


def test_each_level_goes_as_far_as_it_says(ctx: Context, world: World) -> None:
    assert code(ctx, PULSE[1], None) == "DRAIN_BELOW_MIN_READY"
    assert code(ctx, PULSE[1], Force.DEGRADED) == ""
    assert told(ctx) == ("degraded", ["min_ready 2 of pulse: 1 others serve"])
    assert code(ctx, PULSE[2], Force.DEGRADED) == "DRAIN_BELOW_MIN_READY"
    assert code(ctx, PULSE[2], Force.OUTAGE) == ""
    assert told(ctx) == ("outage", ["min_ready 2 of pulse: 0 others serve"])
    assert world.serving("pulse") == set()


def test_an_edge_that_does_not_answer_is_left_as_it_is(tmp_path: Path) -> None:
    site = small_site(pulse={"drain_deadline_s": 5})
    two = site.model_copy(update={"edge": site.edge.model_copy(update={"nodes": 2})})
    world = World.of(two)
    ctx = context(tmp_path / "state", world)
    edges = sorted({edge for edge, _ in world.edge_state})
    world.edges_down.add(edges[-1])
    assert len(edges) == 2
    assert code(ctx, PULSE[0], Force.OUTAGE) == "EDGE_UNREACHABLE"
    assert code(ctx, PULSE[0], Force.UNSEEN) == ""
    assert told(ctx) == ("unseen", [f"edges that do not answer: {edges[-1]}"])


def test_what_was_not_needed_is_not_told_as_waived(tmp_path: Path, world: World) -> None:
    ctx = context(tmp_path / "state", world)
    assert code(ctx, PULSE[0], Force.OUTAGE) == ""
    assert told(ctx) == ("outage", [])


def test_a_killed_drain_goes_on_with_the_force_that_it_was_given(
    ctx: Context, world: World
) -> None:
    ctx.crash = KillAt(2)
    with pytest.raises(Cut):
        drain_replica(ctx, PULSE[1], owner=ME, force=Force.DEGRADED)
    again = another_process(ctx, world)
    resume_run(again, again.store.runs.all(1)[0].operation)
    assert told(again)[0] == "degraded"
    step = next(e for e in again.store.journal(again.store.runs.all(1)[0].operation)
                if e.phase == "DONE")  # fmt: skip
    assert step.detail["force"] == "degraded"
