"""Another checkpoint beside the live one over a simulated site, killed at every moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from permafrost.engine.releases import as_served
from permafrost.engine.runs import RunState
from permafrost.errors import Failed, PermafrostError, Refused
from permafrost.planning.gpu_memory import Architecture
from permafrost.planning.upgrade import Wish
from permafrost.planning.upgrade_words import Accept, Strategy
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.recovery import abort_run, resume_run, run_named
from permafrost.runbook.slots import settle_record, tell_slots
from permafrost.runbook.status import read_status
from permafrost.runbook.upgrade import (
    preview_rollback,
    preview_upgrade,
    retire,
    rollback,
    upgrade,
)
from tests.fakes.catalog import FakeCatalog
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import small_site
from tests.fakes.world import Cut, World

ME = Wish("operator:me")
OLD, NEW, THIRD = ("sha256:" + c * 64 for c in "bde")
EDGES = ("lab-edge-01", "lab-edge-02")
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]


@pytest.fixture
def world() -> World:
    world = World.of(small_site(pulse={"drain_deadline_s": 5}))
    world.watchers.append(lambda what, target: check(world, what, target))
    return world


def check(world: World, what: str, target: str) -> None:
    """Judge one effect, just before it is made, against the world."""
    assert len(world.serving("pulse")) == 3, f"{what} {target}: capacity was taken away"
    if what.startswith(("load-", "unload-")):
        slot = what.rpartition("-")[2]
        routed = {world.routed(edge, target) for edge, r in world.edge_state if r == target}
        assert slot not in routed, f"{what} {target}: clients are sent there"
        machine = world.machines[target]
        left = (
            machine.requests if slot == "a" else machine.beside.requests if machine.beside else []
        )
        assert not (what.startswith("unload") and left), f"{target} slot {slot} is at work"


def is_upgraded(ctx: Context, world: World) -> bool:
    held = ctx.release("pulse")
    status = next(e for e in read_status(ctx).endpoints if e.name == "pulse")
    return (
        world.answers("pulse") == {NEW}
        and (held.checkpoint, held.kept) == (NEW, OLD)
        and status.live_checkpoint == NEW
        and len(world.serving("pulse")) == 3
        and is_told(ctx, world)
    )


def is_back(ctx: Context, world: World) -> bool:
    return (
        world.answers("pulse") == {OLD}
        and ctx.release("pulse").slots == {"a": OLD}
        and all(world.machines[name].beside is None for name in PULSE)
        and len(world.serving("pulse")) == 3
        and is_told(ctx, world)
    )


def is_told(ctx: Context, world: World) -> bool:
    """Whether telling the edges again changes nothing: they know what is recorded."""
    done = len(world.effects)
    tell_slots(ctx)
    return len(world.effects) == done


def test_side_by_side_then_back_at_once_then_given_up(ctx: Context, world: World) -> None:
    made = preview_upgrade(ctx, "pulse", NEW, ME)
    assert made.facts["strategy"] == "side by side"
    kinds = [s.kind for s in made.steps]
    assert kinds[0] == "record-release"
    assert kinds[1:5] == ["load-slot", "await-slot", "prove-slot", "await-slot-up"]
    assert kinds[-1] == "cut-over"
    upgrade(ctx, "pulse", NEW, ME, shown=made.fingerprint)
    assert is_upgraded(ctx, world)
    assert as_served(ctx.store, ctx.loaded).site.inference["pulse"].model.endswith(NEW)
    for edge in EDGES[: len(world.routes)]:
        assert world.routes[edge][f"pulse@{OLD}"] == "a", "pins go on to their version"
        assert world.routes[edge][f"pulse@{NEW}"] == "b"
    with pytest.raises(Refused, match="UPGRADE_SAME_CHECKPOINT"):
        upgrade(ctx, "pulse", NEW, ME)
    back = preview_rollback(ctx, "pulse")
    assert [s.kind for s in back.steps] == ["cut-over"], "nothing is loaded to go back"
    rollback(ctx, "pulse", owner=ME.owner, shown=back.fingerprint)
    assert world.answers("pulse") == {OLD}
    with pytest.raises(Refused, match="UPGRADE_SLOT_TAKEN"):
        upgrade(ctx, "pulse", THIRD, ME)
    retire(ctx, "pulse", owner=ME.owner)
    assert is_back(ctx, world)
    with pytest.raises(Refused, match="ROLLBACK_NOTHING_KEPT"):
        rollback(ctx, "pulse", owner=ME.owner)
    assert retire(ctx, "pulse", owner=ME.owner).results == ()


def test_the_slot_that_was_live_takes_the_one_after(ctx: Context, world: World) -> None:
    upgrade(ctx, "pulse", NEW, ME)
    retire(ctx, "pulse", owner=ME.owner)
    assert not any(world.machines[n].has_first for n in PULSE)
    upgrade(ctx, "pulse", THIRD, ME)
    assert world.answers("pulse") == {THIRD}
    assert ctx.release("pulse").live == "a"


def test_a_checkpoint_that_fails_its_probe_answers_nobody(ctx: Context, world: World) -> None:
    world.wrong.add(NEW)
    with pytest.raises(Failed, match="PROBE_FAILED"):
        upgrade(ctx, "pulse", NEW, ME)
    assert world.answers("pulse") == {OLD}
    assert "route lab-edge-01" not in world.effects
    operation = ctx.store.runs.all(1)[0].operation
    abort_run(ctx, operation)
    assert is_back(ctx, world)


def test_what_is_no_longer_proven_is_not_switched_to(ctx: Context, world: World) -> None:
    upgrade(ctx, "pulse", NEW, ME)
    world.machines[PULSE[0]].state = "OUT"
    with pytest.raises(Refused, match="SLOT_NOT_READY") as caught:
        rollback(ctx, "pulse", owner=ME.owner)
    assert PULSE[0] in caught.value.problems[0].message
    assert world.answers("pulse") == {NEW}


def test_every_replica_must_serve(ctx: Context, world: World) -> None:
    world.watchers.clear()
    drain_replica(ctx, PULSE[1], owner=ME.owner, reason="fan")
    done = list(world.effects)
    with pytest.raises(Refused, match="UPGRADE_REPLICA_AWAY"):
        upgrade(ctx, "pulse", NEW, ME)
    assert world.effects == done


def test_an_edge_that_is_silent_would_go_on_as_before(ctx: Context, world: World) -> None:
    world.edges_down.add(EDGES[0])
    with pytest.raises(Refused, match="EDGE_UNREACHABLE"):
        upgrade(ctx, "pulse", NEW, ME)


def test_a_pin_that_moves_has_the_last_word(ctx: Context, world: World) -> None:
    upgrade(ctx, "pulse", NEW, ME)
    moved = world.site.inference["pulse"].model_copy(
        update={"model": f"checkpoints/pulse@{THIRD}"}
    )
    site = world.site.model_copy(update={"inference": {**world.site.inference, "pulse": moved}})
    ctx.loaded = replace(ctx.loaded, site=site)
    held = ctx.release("pulse")
    assert (held.live, held.slots) == ("b", {"b": THIRD}), "it is deployed where clients go"
    settle_record(ctx, "pulse")
    ctx.loaded = replace(ctx.loaded, site=world.site)
    assert ctx.release("pulse").slots == {"b": OLD}, "the old record does not come back to life"


@pytest.mark.parametrize(
    ("told", "code", "accept"),
    [
        ({"context_tokens": 1024}, "UPGRADE_CONTEXT_SMALLER", Accept.CONTEXT),
        ({"context_tokens": None}, "UPGRADE_CONTEXT_SMALLER", Accept.CONTEXT),
        ({"tokenizer": "sha256:2"}, "UPGRADE_TOKENIZER_DIFFERS", Accept.TOKENIZER),
        ({"contract": "sha256:2"}, "UPGRADE_CONTRACT_DIFFERS", Accept.CONTRACT),
    ],
)
def test_what_clients_rely_on_is_kept_unless_it_is_meant_otherwise(
    ctx: Context, world: World, told: dict[str, object], code: str, accept: Accept
) -> None:
    alike = {"context_tokens": 4096, "tokenizer": "sha256:1", "contract": "sha256:1"}
    ctx.catalog = FakeCatalog(told={OLD: alike, NEW: {**alike, **told}})
    with pytest.raises(Refused) as caught:
        upgrade(ctx, "pulse", NEW, ME)
    assert [p.code for p in caught.value.problems] == [code]
    assert world.effects == []
    upgrade(ctx, "pulse", NEW, replace(ME, accepted=frozenset({accept})))
    assert is_upgraded(ctx, world)


def test_where_there_is_no_way_that_is_said(ctx: Context, world: World) -> None:
    large = {"architecture": Architecture(80, 8, 128), "bytes": 60 << 30}
    old = world.site.inference["chat"].model.partition("@")[2]
    ctx.catalog = FakeCatalog(told={old: large, NEW: large})
    for way in (None, Strategy.SIDE_BY_SIDE, Strategy.CUT_OVER, Strategy.ROLLING):
        with pytest.raises(Refused) as caught:
            upgrade(ctx, "chat", NEW, replace(ME, way=way))
        assert [p.code for p in caught.value.problems] == ["UPGRADE_NO_CAPACITY"]
    assert world.effects == []


def test_what_the_registry_lacks_is_refused(ctx: Context, world: World) -> None:
    pinned = f"checkpoints/pulse@{NEW}"
    for catalog, code in (
        (FakeCatalog(missing=frozenset({pinned})), "CHECKPOINT_MISSING"),
        (FakeCatalog(without_fingerprint=frozenset({pinned})), "FINGERPRINT_MISSING"),
    ):
        ctx.catalog = catalog
        with pytest.raises(Refused, match=code):
            upgrade(ctx, "pulse", f"pulse@{NEW}", ME)
    with pytest.raises(Refused, match="UPGRADE_OTHER_NAME"):
        upgrade(ctx, "pulse", f"chat@{NEW}", ME)
    with pytest.raises(Refused, match="LOCK_WITHOUT_MODEL"):
        upgrade(ctx, "pulse", "pulse@production", ME)
    with pytest.raises(Refused, match="ENDPOINT_UNKNOWN"):
        upgrade(ctx, "nobody", NEW, ME)


def killed_at(ctx: Context, moment: int, work: Callable[[Context], object]) -> bool:
    """Run until the moment; return whether it was killed there."""
    ctx.crash = KillAt(moment)
    try:
        work(ctx)
    except Cut:
        return True
    return False


MOMENTS = 22


def some_of(count: int, seed: int) -> list[object]:
    """Every moment; all but every fifth in soak alone."""
    return [m if m % 5 == seed else pytest.param(m, marks=pytest.mark.soak) for m in range(count)]


@pytest.mark.parametrize("moment", some_of(MOMENTS, 1))
def test_killed_at_every_moment_it_is_finished(ctx: Context, world: World, moment: int) -> None:
    assert killed_at(ctx, moment, lambda c: upgrade(c, "pulse", NEW, ME))
    again = another_process(ctx, world)
    resume_run(again, again.store.runs.all(1)[0].operation)
    assert is_upgraded(again, world)
    assert again.store.receipts.verify()[1] == ()


@pytest.mark.parametrize("moment", some_of(MOMENTS, 2))
def test_killed_at_every_moment_it_is_taken_back(ctx: Context, world: World, moment: int) -> None:
    assert killed_at(ctx, moment, lambda c: upgrade(c, "pulse", NEW, ME))
    again = another_process(ctx, world)
    operation = again.store.runs.all(1)[0].operation
    abort_run(again, operation)
    assert run_named(again, operation).state is RunState.ABORTED
    assert is_back(again, world)


def test_there_are_no_more_moments(ctx: Context, world: World) -> None:
    assert not killed_at(ctx, MOMENTS, lambda c: upgrade(c, "pulse", NEW, ME))
    assert ctx.crash.passed == MOMENTS  # type: ignore[attr-defined]


@pytest.mark.parametrize("effects", some_of(12, 3))
@pytest.mark.parametrize("verb", [resume_run, abort_run])
def test_killed_in_mid_effect(
    ctx: Context, world: World, effects: int, verb: Callable[[Context, str], object]
) -> None:
    """Also between two edges: then they differ until it is finished or taken back."""
    world.cut_in = effects
    with pytest.raises(Cut):
        upgrade(ctx, "pulse", NEW, ME)
    again = another_process(ctx, world)
    verb(again, again.store.runs.all(1)[0].operation)
    assert is_upgraded(again, world) if verb is resume_run else is_back(again, world)


@pytest.mark.parametrize("moment", range(2))
def test_a_rollback_that_is_killed_is_finished_or_taken_back(
    ctx: Context, world: World, moment: int
) -> None:
    upgrade(ctx, "pulse", NEW, ME)
    assert killed_at(ctx, moment, lambda c: rollback(c, "pulse", owner=ME.owner))
    again = another_process(ctx, world)
    abort_run(again, again.store.runs.all(1)[0].operation)
    assert is_upgraded(again, world)
    assert killed_at(again, moment, lambda c: rollback(c, "pulse", owner=ME.owner))
    again = another_process(again, world)
    resume_run(again, again.store.runs.all(1)[0].operation)
    assert world.answers("pulse") == {OLD}


@pytest.mark.parametrize("moment", some_of(14, 4))
def test_a_retirement_that_is_killed_is_taken_back_through_the_gate(
    ctx: Context, world: World, moment: int
) -> None:
    upgrade(ctx, "pulse", NEW, ME)
    world.pass_time(5)
    assert killed_at(ctx, moment, lambda c: retire(c, "pulse", owner=ME.owner))
    again = another_process(ctx, world)
    abort_run(again, again.store.runs.all(1)[0].operation)
    assert is_upgraded(again, world)


def test_a_slot_at_work_is_not_emptied(ctx: Context, world: World) -> None:
    upgrade(ctx, "pulse", NEW, ME)
    world.machines[PULSE[2]].requests = [1000.0]
    with pytest.raises(PermafrostError, match="SLOT_BUSY"):
        retire(ctx, "pulse", owner=ME.owner)
    assert world.machines[PULSE[2]].has_first
    world.machines[PULSE[2]].requests = []
    resume_run(ctx, ctx.store.runs.all(1)[0].operation)
    assert ctx.release("pulse").slots == {"b": NEW}
