"""A slot is given up: the record has it for as long as an edge may send requests there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from permafrost.engine.executor import Paused
from permafrost.engine.runs import RunState
from permafrost.errors import Failed, PermafrostError, Refused
from permafrost.planning.canary import Canary
from permafrost.planning.release import slots_of
from permafrost.planning.steps import OperationStep
from permafrost.planning.upgrade import Wish
from permafrost.planning.upgrade_words import Strategy
from permafrost.runbook.context import Context
from permafrost.runbook.recovery import abort_run, require_turn, resume_run, run_named
from permafrost.runbook.upgrade import retire, upgrade
from tests.fakes.killing import another_process, is_cut_at_effect
from tests.fakes.site import context, small_site
from tests.fakes.world import Cut, World

ME = "operator:me"
OLD, NEW = ("sha256:" + c * 64 for c in "bd")
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
EDGES = {"lab-edge-01", "lab-edge-02"}
CANARY = Wish(ME, way=Strategy.SIDE_BY_SIDE, canary=Canary(100, seconds=5, least_requests=2))
ROLLING = Wish(ME, way=Strategy.ROLLING, allow_mixed=True)
MOMENTS = 10
"""Before and after each effect: two edges are told, three replicas empty a slot."""


@pytest.fixture
def world() -> World:
    site = small_site(pulse={"min_ready": 2, "drain_deadline_s": 5})
    edge = site.edge.model_copy(update={"nodes": 2})
    return World.of(site.model_copy(update={"edge": edge}))


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """Where everything serves; judged after every effect."""
    ctx = context(tmp_path / "state", world)

    def judge(what: str, target: str) -> None:
        """Of requests with a pin and without one."""
        for edge, told in world.routes.items():
            pins = {slot for key, slot in told.items() if key.startswith("pulse@")}
            sent, recorded = pins | slots_of(told, "pulse"), set(ctx.release("pulse").slots)
            assert sent <= recorded, f"{what} {target}: {edge} sends to {sent - recorded}"

    world.witnesses.append(judge)
    return ctx


def at(kind: str, when: str, do: Callable[[], None]) -> Callable[[str, OperationStep, str], None]:
    def crash(_: str, step: OperationStep, now: str) -> None:
        if step.kind == kind and now == when:
            do()

    return crash


def cut() -> None:
    raise Cut


def killed_after_its_canary(ctx: Context, world: World) -> None:
    ctx.crash = at("canary", "after", cut)
    with pytest.raises(Cut):
        upgrade(ctx, "pulse", NEW, CANARY)
    assert ctx.release("pulse").share == 100


def paused_after_its_canary(ctx: Context, world: World) -> None:
    def pause() -> None:
        ctx.store.runs.wish_pause(ctx.store.runs.all(1)[0].operation)

    ctx.crash = at("canary", "after", pause)
    with pytest.raises(Paused):
        upgrade(ctx, "pulse", NEW, CANARY)
    assert ctx.release("pulse").share == 100


def killed_before_its_share_is_recorded(ctx: Context, world: World) -> None:
    def cut_once_both_are_told(what: str, target: str) -> None:
        told = [t for t in world.routes.values() if "pulse/share" in t]
        if what == "route" and len(told) == len(EDGES):
            raise Cut

    world.witnesses.append(cut_once_both_are_told)
    with pytest.raises(Cut):
        upgrade(ctx, "pulse", NEW, CANARY)
    world.witnesses.remove(cut_once_both_are_told)
    assert ctx.release("pulse").share == 0


STORIES = [
    killed_after_its_canary,
    paused_after_its_canary,
    killed_before_its_share_is_recorded,
]


def require_alone(ctx: Context, world: World, slot: str, checkpoint: str) -> None:
    held = ctx.release("pulse")
    assert (dict(held.slots), held.open, held.share) == ({slot: checkpoint}, (slot,), 0)
    for name in PULSE:
        seen = {s: world.slot_state(name, s)[1] for s in "ab"}
        assert {s: digest for s, digest in seen.items() if digest} == {slot: checkpoint}
    for told in world.routes.values():
        assert {k: s for k, s in told.items() if k.startswith("pulse")} == held.routes()


@pytest.mark.parametrize("moment", [None, *range(MOMENTS)])
@pytest.mark.parametrize("stopped", STORIES)
def test_a_share_is_taken_back(
    ctx: Context, world: World, stopped: Callable[[Context, World], None], moment: int | None
) -> None:
    """One edge ends it after the other; killed anywhere on the way and begun again."""
    stopped(ctx, world)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    if moment is not None:
        assert is_cut_at_effect(world, moment, lambda: abort_run(after, run.operation))
        after = another_process(after, world)
    abort_run(after, run.operation)
    assert run_named(after, run.operation).state is RunState.ABORTED
    require_alone(after, world, "a", OLD)


@pytest.mark.parametrize("stopped", STORIES)
def test_nothing_else_is_begun_before_that(
    ctx: Context, world: World, stopped: Callable[[Context, World], None]
) -> None:
    """Another way to the same checkpoint, the end of its slot, the way back: each is refused."""
    stopped(ctx, world)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    done = list(world.effects)
    require_turn(after, "upgrade pulse")
    with pytest.raises(Refused, match="UPGRADE_SLOT_TAKEN"):
        upgrade(after, "pulse", NEW, ROLLING)
    for command in ("retire pulse", "rollback pulse"):
        with pytest.raises(Refused, match="OPERATION_UNFINISHED") as caught:
            require_turn(after, command)
        assert caught.value.problems[0].path == run.operation
    assert (world.effects, after.store.runs.unfinished()) == (done, (run,))


@pytest.mark.parametrize("moment", [None, *range(MOMENTS)])
def test_the_way_back_is_retired(ctx: Context, world: World, moment: int | None) -> None:
    """Pins go to it until every edge was told; killed anywhere on the way and begun again."""
    upgrade(ctx, "pulse", NEW, Wish(ME, way=Strategy.SIDE_BY_SIDE))
    if moment is not None:
        assert is_cut_at_effect(world, moment, lambda: retire(ctx, "pulse", owner=ME))
        ctx = another_process(ctx, world)
    retire(ctx, "pulse", owner=ME)
    require_alone(ctx, world, "b", NEW)
    assert ctx.store.runs.unfinished() == ()


def test_one_that_an_edge_did_not_hear_of_is_not_given_up(ctx: Context, world: World) -> None:
    """It runs and goes on as it was told: the record says so until it answers."""
    killed_after_its_canary(ctx, world)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    world.edges_down.add(min(EDGES))
    held = after.release("pulse")
    with pytest.raises(PermafrostError, match="EDGE_UNREACHABLE"):
        abort_run(after, run.operation)
    assert after.release("pulse") == held
    world.edges_down.clear()
    abort_run(after, run.operation)
    require_alone(after, world, "a", OLD)


@pytest.mark.parametrize("away", [1, 2, 3])
def test_a_share_is_not_ended_where_too_few_would_be_left(
    ctx: Context, world: World, away: int
) -> None:
    """The old version has failed there, the new one serves: it can be finished, or wait."""
    paused_after_its_canary(ctx, world)
    (run,) = ctx.store.runs.unfinished()
    done = list(world.effects)
    for name in PULSE[:away]:
        world.machines[name].state = "OUT"
    ctx = another_process(ctx, world)
    if len(PULSE) - away >= ctx.site.inference["pulse"].min_ready:
        abort_run(ctx, run.operation)
        return
    with pytest.raises(Refused, match="SLOT_NOT_READY"):
        abort_run(ctx, run.operation)
    assert (world.effects, ctx.store.runs.unfinished()) == (done, (run,))
    resume_run(ctx, run.operation)
    assert world.answers("pulse") == {NEW}


def test_it_is_looked_at_once_more(ctx: Context, world: World) -> None:
    """What the plan rests on may have failed since."""
    paused_after_its_canary(ctx, world)
    (run,) = ctx.store.runs.unfinished()

    def fail() -> None:
        for name in PULSE:
            world.machines[name].state = "OUT"

    ctx.crash = at("record-release", "before", fail)
    with pytest.raises(Refused, match="SLOT_NOT_READY"):
        abort_run(ctx, run.operation)
    assert all("pulse/share" in told for told in world.routes.values())
    assert set(ctx.release("pulse").slots) == {"a", "b"}


def test_a_share_that_nobody_has_is_ended(ctx: Context, world: World) -> None:
    """Too few are left, and none by that: what has the new version has the old one."""
    paused_after_its_canary(ctx, world)
    (run,) = ctx.store.runs.unfinished()
    for name in PULSE:
        world.machines[name].is_on = name == PULSE[0]
    abort = another_process(ctx, world)
    with suppress(PermafrostError):  # two replicas cannot be told to empty their slot
        abort_run(abort, run.operation)
    assert not any("pulse/share" in told for told in world.routes.values())


@pytest.mark.parametrize("away", [1, 2, 3])
def test_a_canary_keeps_its_share_where_too_few_would_be_left(
    ctx: Context, world: World, away: int
) -> None:
    """It does harm, the old version fails meanwhile: told, and ended once that is back."""
    world.failing.add(NEW)
    too_few = len(PULSE) - away < ctx.site.inference["pulse"].min_ready

    def fail() -> None:
        for name in PULSE[:away]:
            world.machines[name].state = "OUT"

    ctx.crash = at("canary", "before", fail)
    with pytest.raises(Failed, match="CANARY_KEPT" if too_few else "CANARY_STOPPED") as caught:
        upgrade(ctx, "pulse", NEW, CANARY)
    assert caught.value.problems[0].message.startswith("errors")
    assert all(("pulse/share" in told) == too_few for told in world.routes.values())
    assert ctx.release("pulse").share == (100 if too_few else 0)
    run = ctx.store.runs.all(1)[0]
    if too_few:
        assert PULSE[0] not in caught.value.problems[0].message
        with pytest.raises(Refused, match="SLOT_NOT_READY"):
            abort_run(another_process(ctx, world), run.operation)
    for name in PULSE:
        world.machines[name].state = "ADMITTED"
    ctx = another_process(ctx, world)
    abort_run(ctx, run.operation)
    require_alone(ctx, world, "a", OLD)
