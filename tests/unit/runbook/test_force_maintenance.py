"""A host that dies at night: maintenance under each level of force, and what none waives."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from permafrost.cli import changing, maintenance
from permafrost.cli.options import Output
from permafrost.engine.state import DeclaredState
from permafrost.errors import PermafrostError
from permafrost.planning.force import Force
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.maintenance import enter, leave, preview_enter
from permafrost.runbook.recovery import resume_run
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import placed_context, small_site
from tests.fakes.world import Cut, World

ME = "operator:me"
HOST, OTHER = "lab-esx-01", "lab-esx-02"
LEVELS = (None, Force.DEGRADED, Force.OUTAGE)


@pytest.fixture
def world() -> World:
    quick = {"drain_deadline_s": 5}
    return World.of(small_site(pulse=quick, chat=quick))


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def on(world: World, host: str, endpoint: str = "pulse") -> str:
    return next(n for n, m in world.machines.items() if m.host == host and f"-{endpoint}-" in n)


def away(ctx: Context, world: World, *hosts: str) -> None:
    """The replicas of `pulse` on these hosts are drained, whatever serves then."""
    for host in hosts:
        drain_replica(ctx, on(world, host), owner=ME, force=Force.OUTAGE)


def codes(ctx: Context, force: Force | None, host: str = HOST) -> set[str]:
    """Return why it is refused; nothing where a plan is made."""
    try:
        preview_enter(ctx, host, owner=ME, force=force)
    except PermafrostError as error:
        return {p.code for p in error.problems}
    return set()


def told(ctx: Context) -> tuple[str, list[str]]:
    run = ctx.store.runs.all(1)[0]
    before = json.loads(Path(run.receipt).read_text(encoding="utf-8"))["before"]
    return before["force"], before["waived"]


@pytest.mark.parametrize(
    ("gone", "allowed"),
    [((), LEVELS), ((OTHER,), LEVELS[1:]), ((OTHER, "lab-esx-03"), LEVELS[2:])],
)
def test_each_level_goes_as_far_as_it_says(
    ctx: Context, world: World, gone: tuple[str, ...], allowed: tuple[Force | None, ...]
) -> None:
    away(ctx, world, *gone)
    for force in LEVELS:
        assert codes(ctx, force) == (set() if force in allowed else {"BELOW_MIN_READY"}), force


def test_it_is_done_told_logged_and_taken_back_through_the_gate(
    ctx: Context, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    away(ctx, world, OTHER)
    waived = "min_ready 2 of pulse: 1 others serve"
    made = preview_enter(ctx, HOST, owner=ME, force=Force.DEGRADED)
    assert f"waived: {waived}" in made.notes
    with caplog.at_level(logging.WARNING):
        enter(ctx, HOST, owner=ME, force=Force.DEGRADED, shown=made.fingerprint)
    assert f"force degraded of {ME}: {waived}" in caplog.text
    assert told(ctx) == ("degraded", [waived])
    assert world.hosts[HOST].in_maintenance
    evidence = [e.detail for e in ctx.store.journal(ctx.store.runs.all(1)[0].operation)]
    assert {"degraded"} == {e["force"] for e in evidence if "force" in e}
    assert world.serving("pulse") == {on(world, "lab-esx-03")}
    world.machines[on(world, HOST)].passes_probe = False
    with pytest.raises(PermafrostError):
        leave(ctx, HOST, owner=ME)
    assert not world.takes_requests(on(world, HOST)), "force admits nothing unproven"


def test_another_plan_is_not_carried_out_for_one_that_was_shown(
    ctx: Context, world: World
) -> None:
    shown = preview_enter(ctx, HOST, owner=ME).fingerprint
    with pytest.raises(PermafrostError, match="PLAN_STALE"):
        enter(ctx, HOST, owner=ME, force=Force.OUTAGE, shown=shown)


def test_more_in_flight_than_the_rest_has_places_for(ctx: Context, world: World) -> None:
    for machine in world.machines.values():
        machine.requests = [100.0] * 40
    assert codes(ctx, None) == {"CAPACITY_TOO_SMALL"}
    made = preview_enter(ctx, HOST, owner=ME, force=Force.DEGRADED)
    assert [w.partition(":")[0] for w in made.facts["waived"]] == [
        "places of chat",
        "places of pulse",
    ]


@pytest.mark.parametrize("force", list(Force))
def test_no_level_takes_a_second_host(ctx: Context, world: World, force: Force) -> None:
    enter(ctx, OTHER, owner=ME)
    assert codes(ctx, force) == {"OTHER_MAINTENANCE"}


@pytest.mark.parametrize("force", list(Force))
def test_what_stands_where_it_was_not_placed_is_not_waived(
    ctx: Context, world: World, force: Force
) -> None:
    world.machines[on(world, OTHER)].host = HOST
    assert "PLACEMENT_DRIFT" in codes(ctx, force)


def test_edges_that_do_not_answer_are_left_as_they_are(tmp_path: Path) -> None:
    site = small_site(pulse={"drain_deadline_s": 5}, chat={"drain_deadline_s": 5})
    edge = site.edge.model_copy(update={"nodes": 2})
    world = World.of(site.model_copy(update={"edge": edge}))
    ctx = placed_context(tmp_path / "state", world)
    silent = sorted({e for e, _ in world.edge_state})[-1]
    world.edges_down.add(silent)
    with pytest.raises(PermafrostError, match="EDGE_UNREACHABLE"):
        enter(ctx, HOST, owner=ME, force=Force.OUTAGE)
    again = another_process(ctx, world)
    enter(again, HOST, owner=ME, force=Force.UNSEEN)
    assert f"edges that do not answer: {silent}" in told(again)[1]
    assert world.hosts[HOST].in_maintenance


def test_a_killed_one_goes_on_with_the_force_that_it_was_given(ctx: Context, world: World) -> None:
    away(ctx, world, OTHER)
    ctx.crash = KillAt(5)
    with pytest.raises(Cut):
        enter(ctx, HOST, owner=ME, force=Force.DEGRADED)
    after = another_process(ctx, world)
    resume_run(after, after.store.runs.all(1)[0].operation)
    assert told(after)[0] == "degraded"
    assert after.store.declared()[on(world, HOST)].state is DeclaredState.DRAINED


def test_the_command_passes_it_on(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    away(ctx, world, OTHER)
    monkeypatch.setattr(changing, "open_site", lambda _: ctx)
    with pytest.raises(PermafrostError, match="BELOW_MIN_READY"):
        maintenance.enter(HOST, yes=True, output=Output.JSON)
    maintenance.enter(HOST, yes=True, force=Force.DEGRADED, output=Output.JSON)
    assert world.hosts[HOST].in_maintenance
