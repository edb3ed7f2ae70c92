"""A rollback at night, an edge or replicas away: each level of force, and what none waives."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.cli import changing
from permafrost.cli import upgrade as cli
from permafrost.cli.options import Output
from permafrost.engine.runs import RunState
from permafrost.errors import PermafrostError
from permafrost.facts import NodeFacts, ServerState
from permafrost.planning.force import Force
from permafrost.planning.upgrade import Wish
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_for
from permafrost.runbook.recovery import abort_run, resume_run
from permafrost.runbook.status import read_status
from permafrost.runbook.upgrade import preview_rollback, retire, rollback, upgrade
from tests.fakes.killing import KillAt, another_process
from tests.fakes.model_server import FakeModelServer
from tests.fakes.site import context, small_site
from tests.fakes.world import Cut, World, unreachable
from tests.unit.runbook.chain import receipts

ME = "operator:me"
OLD, NEW = ("sha256:" + c * 64 for c in "bd")
HERE, AWAY = "lab-edge-01", "lab-edge-02"
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
LEVELS = (None, *Force)


@pytest.fixture
def world() -> World:
    site = small_site(pulse={"drain_deadline_s": 5})
    edge = site.edge.model_copy(update={"nodes": 2})
    return World.of(site.model_copy(update={"edge": edge}))


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """Upgraded side by side: slot a has the old checkpoint yet."""
    ctx = context(tmp_path / "state", world)
    upgrade(ctx, "pulse", NEW, Wish(ME))
    return ctx


def codes(ctx: Context, force: Force | None) -> set[str]:
    """Return why it is refused; nothing where a plan is made."""
    try:
        preview_rollback(ctx, "pulse", Wish(ME), force=force)
    except PermafrostError as error:
        return {p.code for p in error.problems}
    return set()


def told(ctx: Context) -> tuple[str, list[str]]:
    """Return level and what was waived, out of the latest receipt of a chain that must hold."""
    before = receipts(ctx)[-1]["before"]
    return before["force"], before["waived"]


def live_on(world: World, edge: str) -> str:
    return world.routes[edge]["pulse"]


def test_an_edge_that_does_not_answer_is_left_as_it_is_and_told_later(
    ctx: Context, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.edges_down.add(AWAY)
    for level in LEVELS[:-1]:
        assert codes(ctx, level) == {"EDGE_UNREACHABLE"}
    made = preview_rollback(ctx, "pulse", force=Force.UNSEEN)
    waived = f"edges that do not answer: {AWAY}"
    assert f"waived: {waived}" in made.notes
    assert any(f"`permafrost converge {AWAY}`" in note for note in made.notes)
    with caplog.at_level(logging.WARNING):
        rollback(ctx, "pulse", owner=ME, force=Force.UNSEEN, shown=made.fingerprint)
    assert f"force unseen of {ME}: {waived}" in caplog.text
    assert told(ctx) == ("unseen", [waived])
    (evidence,) = [
        s["evidence"]
        for s in receipts(ctx)[-1]["steps"]
        if (s["kind"], s["phase"]) == ("cut-over", "DONE")
    ]
    assert (evidence["force"], evidence["waived"]) == ("unseen", [waived])
    assert (live_on(world, HERE), live_on(world, AWAY)) == ("a", "b")
    world.edges_down.clear()
    assert "sends pulse to slot b, live is a" in json.dumps(read_status(ctx).as_dict())
    converge_for(ctx, AWAY, owner=ME)
    assert world.answers("pulse") == {OLD}


def test_what_was_not_needed_is_not_told_as_waived(ctx: Context, world: World) -> None:
    rollback(ctx, "pulse", owner=ME, force=Force.UNSEEN)
    assert told(ctx) == ("unseen", [])
    assert world.answers("pulse") == {OLD}


def test_where_no_edge_answers_there_is_nothing_to_switch(ctx: Context, world: World) -> None:
    world.edges_down |= {HERE, AWAY}
    assert "EDGE_UNREACHABLE" in codes(ctx, Force.UNSEEN)


@pytest.mark.parametrize(
    ("out", "allowed"), [(1, LEVELS[1:]), (2, LEVELS[1:]), (3, LEVELS[2:])], ids=str
)
def test_each_level_goes_as_far_as_it_says(
    ctx: Context, world: World, out: int, allowed: tuple[Force | None, ...]
) -> None:
    """So many replicas have the old one loaded, and it is not let in any more."""
    for name in PULSE[:out]:
        world.machines[name].state = "OUT"
    for level in LEVELS:
        assert codes(ctx, level) == (set() if level in allowed else {"SLOT_NOT_READY"}), level
    rollback(ctx, "pulse", owner=ME, force=allowed[0])
    level, waived = told(ctx)
    assert level == allowed[0]
    assert [w.partition(":")[0] for w in waived] == ["pulse"]
    assert world.answers("pulse") == ({OLD} if out < 3 else set())


@pytest.mark.parametrize("level", list(Force))
@pytest.mark.parametrize("state", ["ADMITTED", "STARTING"])
def test_another_checkpoint_in_the_slot_is_not_waived(
    ctx: Context, world: World, level: Force, state: str
) -> None:
    """Nor where it has only begun to load: it would be sent requests once it is let in."""
    world.machines[PULSE[0]].checkpoint = "sha256:" + "e" * 64
    world.machines[PULSE[0]].state = state
    assert codes(ctx, level) == {"SLOT_NOT_READY"}
    with pytest.raises(PermafrostError, match=PULSE[0]):
        rollback(ctx, "pulse", owner=ME, force=level)
    assert world.answers("pulse") == {NEW}


@pytest.mark.parametrize("pinned", [OLD, "sha256:" + "e" * 64])
def test_a_server_that_is_down_is_waived_where_it_can_load_nothing_else(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch, pinned: str
) -> None:
    """Its Triton has ended: it says what is pinned there, and has nothing."""
    state = FakeModelServer.state

    def down(self: FakeModelServer, node: str) -> NodeFacts:
        facts = state(self, node)
        if node != PULSE[0]:
            return facts
        slot = replace(facts.slots["a"], state="STARTING", pinned=pinned, checkpoint="")
        return replace(facts, slots={**facts.slots, "a": slot})

    world.machines[PULSE[0]].state = "OUT"
    monkeypatch.setattr(FakeModelServer, "state", down)
    assert codes(ctx, None) == {"SLOT_NOT_READY"}
    if pinned != OLD:
        assert codes(ctx, Force.UNSEEN) == {"SLOT_NOT_READY"}
        return
    rollback(ctx, "pulse", owner=ME, force=Force.DEGRADED)
    assert world.answers("pulse") == {OLD}


def test_who_does_not_say_what_it_has_is_not_sent_anybody(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = FakeModelServer.state

    def silent(self: FakeModelServer, node: str) -> object:
        if node == PULSE[0]:
            raise unreachable(node)
        return state(self, node)

    monkeypatch.setattr(FakeModelServer, "state", silent)
    assert codes(ctx, Force.UNSEEN) == {"SLOT_NOT_READY"}
    for edge in (HERE, AWAY):
        world.edge_state[edge, PULSE[0]] = ServerState.DRAIN
    assert codes(ctx, Force.DEGRADED) == set()


def test_the_step_looks_once_more(ctx: Context, world: World) -> None:
    """An edge falls silent after the plan was made: the level that was given decides."""

    def fall(*_: object) -> None:
        world.edges_down.add(AWAY)

    ctx.crash = fall
    with pytest.raises(PermafrostError, match="EDGE_UNREACHABLE"):
        rollback(ctx, "pulse", owner=ME, force=Force.OUTAGE)
    assert live_on(world, HERE) == "b"
    resumed = ctx.store.runs.all(1)[0].operation
    world.edges_down.clear()
    abort_run(ctx, resumed)
    rollback(ctx, "pulse", owner=ME, force=Force.UNSEEN)
    assert (live_on(world, HERE), live_on(world, AWAY)) == ("a", "b")


@pytest.mark.parametrize("moment", [0, 1])
def test_a_killed_one_goes_on_with_the_force_that_it_was_given(
    ctx: Context, world: World, moment: int
) -> None:
    world.edges_down.add(AWAY)
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        rollback(ctx, "pulse", owner=ME, force=Force.UNSEEN)
    after = another_process(ctx, world)
    run = after.store.runs.all(1)[0]
    (done,) = resume_run(after, run.operation).results
    assert done.changed is (moment == 0), "it was true already"
    assert told(after)[0] == "unseen"
    assert live_on(world, HERE) == "a"
    assert after.store.runs.get(run.operation).state is RunState.DONE  # type: ignore[union-attr]
    assert world.effects.count(f"route {HERE}") == 2, "once for the upgrade, once back"


def test_one_that_is_an_upgrade_has_no_levels(ctx: Context, world: World) -> None:
    retire(ctx, "pulse", owner=ME)
    assert codes(ctx, None) == set()
    assert codes(ctx, Force.DEGRADED) == {"ROLLBACK_NOT_FORCED"}


def test_another_plan_is_not_carried_out_for_one_that_was_shown(ctx: Context) -> None:
    shown = preview_rollback(ctx, "pulse").fingerprint
    with pytest.raises(PermafrostError, match="PLAN_STALE"):
        rollback(ctx, "pulse", owner=ME, force=Force.OUTAGE, shown=shown)


def test_the_command_passes_it_on(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.edges_down.add(AWAY)
    monkeypatch.setattr(changing, "open_site", lambda _: ctx)
    with pytest.raises(PermafrostError, match="EDGE_UNREACHABLE"):
        cli.rollback("pulse", yes=True, output=Output.JSON)
    cli.rollback("pulse", yes=True, force=Force.UNSEEN, output=Output.JSON)
    assert live_on(world, HERE) == "a"
    monkeypatch.setattr(changing, "require_answer", lambda _: None)
    monkeypatch.setattr(changing, "confirm", lambda *_: None)
    cli.rollback("pulse", force=Force.UNSEEN, output=Output.JSON)
    assert live_on(world, HERE) == "b"
