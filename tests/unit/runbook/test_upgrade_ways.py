"""Cut-over and rolling over a simulated site: killed at every moment, finished or taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.engine.runs import RunState
from permafrost.errors import Failed, PermafrostError
from permafrost.planning.canary import Canary
from permafrost.planning.upgrade import Wish
from permafrost.planning.upgrade_words import Strategy
from permafrost.runbook.context import Context
from permafrost.runbook.recovery import abort_run, resume_run, run_named
from permafrost.runbook.upgrade import preview_rollback, preview_upgrade, rollback, upgrade
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import context, small_site
from tests.fakes.world import Cut, World

OLD, NEW = ("sha256:" + c * 64 for c in "bd")
SHAPES = {Strategy.CUT_OVER: (4, 2), Strategy.ROLLING: (3, 2)}
WISHES = {way: Wish("operator:me", allow_mixed=way is Strategy.ROLLING, way=way) for way in SHAPES}
CANARY = Canary(100, seconds=30, least_requests=5)


def judge(world: World, way: Strategy, what: str, target: str) -> None:
    """Judge the world just before an effect, and what the effect is about to do to it."""
    serving = world.serving("pulse")
    floor = SHAPES[way][1]
    where = f"{what} {target}"
    assert len(serving) >= floor, f"{where}: {sorted(serving)} serve"
    for pin in (OLD, NEW):
        assert world.pinned_to("pulse", pin) <= {pin}, f"{where}: another answers a pin to {pin}"
    if way is Strategy.CUT_OVER:
        for edge in (e for e, told in world.routes.items() if "pulse/share" not in told):
            assert len(answered_at(world, edge)) <= 1, f"{where}: {edge} mixes versions"
    if what.startswith(("empty-for-", "exchange-")):
        assert target not in serving, f"{where}: clients are sent there"
        machine = world.machines[target]
        left = [*machine.requests, *(machine.beside.requests if machine.beside else [])]
        assert not left, f"{where}: it is at work"
    if what == "edge-drain":
        assert len(serving - {target}) >= floor, f"{where}: too few would be left"


def answered_at(world: World, edge: str) -> set[str]:
    """Return what clients of one edge are answered by, without a pin."""
    slots = world.slots_for(edge, "lab-pulse-01")
    found = {
        world.slot_state(name, slot)[1]
        for name in world.serving("pulse")
        for slot in slots
        if world.is_up(name, slot)
    }
    return found


def made(tmp_path: Path, way: Strategy) -> tuple[Context, World]:
    replicas, min_ready = SHAPES[way]
    keys = {"replicas": replicas, "min_ready": min_ready, "drain_deadline_s": 5}
    world = World.of(small_site(pulse=keys), hosts=4)
    world.watchers.append(lambda what, target: judge(world, way, what, target))
    return context(tmp_path / "state", world), world


@pytest.fixture(params=list(SHAPES))
def way(request: pytest.FixtureRequest) -> Strategy:
    found: Strategy = request.param
    return found


def members(world: World) -> list[str]:
    return sorted(n for n in world.machines if n.startswith("lab-pulse"))


def has_moved(ctx: Context, world: World, new: str = NEW, old: str = OLD) -> bool:
    held = ctx.release("pulse")
    slots = {name: (world.slot_state(name, "a")[1], world.slot_state(name, "b")[1])
             for name in members(world)}  # fmt: skip
    wanted = (new, "") if held.live == "a" else ("", new)
    return (
        world.answers("pulse") == {new}
        and (held.checkpoint, dict(held.slots), held.share) == (new, {held.live: new}, 0)
        and set(slots.values()) == {wanted}
        and world.serving("pulse") == set(members(world))
        and world.pinned_to("pulse", old) == set()
    )


def test_it_is_chosen_explained_and_carried_out(tmp_path: Path, way: Strategy) -> None:
    ctx, world = made(tmp_path, way)
    plan = preview_upgrade(ctx, "pulse", NEW, WISHES[way])
    assert plan.facts["strategy"] == way.value
    assert plan.notes[0].startswith(way.value)
    kinds = [s.kind for s in plan.steps]
    switch = kinds.index("cut-over")
    assert kinds[:switch].count("exchange-slot") == 2
    assert kinds.count("exchange-slot") == SHAPES[way][0]
    assert ("set-share" in kinds) == (way is Strategy.ROLLING)
    upgrade(ctx, "pulse", NEW, WISHES[way], shown=plan.fingerprint)
    assert has_moved(ctx, world)
    assert ctx.release("pulse").previous == OLD


def test_back_is_an_upgrade_to_the_release_before(tmp_path: Path, way: Strategy) -> None:
    ctx, world = made(tmp_path, way)
    upgrade(ctx, "pulse", NEW, WISHES[way])
    back = preview_rollback(ctx, "pulse", WISHES[way])
    assert (back.command, back.facts["strategy"]) == ("rollback", way.value)
    owner = WISHES[way].owner
    rollback(ctx, "pulse", owner=owner, wish=WISHES[way], shown=back.fingerprint)
    assert has_moved(ctx, world, OLD, NEW)
    assert ctx.release("pulse").live == "a"


def killed_at(ctx: Context, moment: int, work: Callable[[Context], object]) -> bool:
    ctx.crash = KillAt(moment)
    try:
        work(ctx)
    except Cut:
        return True
    return False


MOMENTS = [
    pytest.param(m, marks=[] if m % 16 == 5 else pytest.mark.soak, id=str(m)) for m in range(130)
]


@pytest.mark.thorough
@pytest.mark.parametrize("verb", ["resume", "abort"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_moment(tmp_path: Path, way: Strategy, moment: int, verb: str) -> None:
    ctx, world = made(tmp_path, way)
    if not killed_at(ctx, moment, lambda c: upgrade(c, "pulse", NEW, WISHES[way])):
        assert moment >= 60, "there are no more moments"
        assert has_moved(ctx, world)
        return
    finish(another_process(ctx, world), world, verb)


@pytest.mark.parametrize("verb", ["resume", "abort"])
@pytest.mark.parametrize("effects", MOMENTS[:80])
def test_killed_in_mid_effect(tmp_path: Path, way: Strategy, effects: int, verb: str) -> None:
    """Also between two edges, and between one slot's end and the other's beginning."""
    ctx, world = made(tmp_path, way)
    world.cut_in = effects
    try:
        upgrade(ctx, "pulse", NEW, WISHES[way])
    except Cut:
        finish(another_process(ctx, world), world, verb)
    else:
        assert effects >= 35, "there are no more effects"


def finish(ctx: Context, world: World, verb: str) -> None:
    operation = ctx.store.runs.all(1)[0].operation
    {"resume": resume_run, "abort": abort_run}[verb](ctx, operation)
    if verb == "resume":
        assert has_moved(ctx, world)
    else:
        assert run_named(ctx, operation).state is RunState.ABORTED
        assert has_moved(ctx, world, OLD, NEW)
        assert ctx.release("pulse").live == "a"
    assert ctx.store.receipts.verify()[1] == ()


@pytest.mark.parametrize("moment", MOMENTS[::3])
def test_an_abort_that_is_killed_is_called_again(
    tmp_path: Path, way: Strategy, moment: int
) -> None:
    ctx, world = made(tmp_path, way)
    assert killed_at(ctx, 40, lambda c: upgrade(c, "pulse", NEW, WISHES[way]))
    again = another_process(ctx, world)
    operation = again.store.runs.all(1)[0].operation
    if killed_at(again, moment, lambda c: abort_run(c, operation)):
        again = another_process(again, world)
        abort_run(again, operation)
    assert has_moved(again, world, OLD, NEW)


def with_canary(way: Strategy) -> Wish:
    return replace(WISHES[way], canary=CANARY)


@pytest.mark.parametrize("way", [None, *SHAPES])
@pytest.mark.parametrize("harm", ["none", "errors", "latency", "probe"])
def test_a_canary_that_does_harm_stops_by_itself(
    tmp_path: Path, way: Strategy | None, harm: str
) -> None:
    """The control is the good one, which goes through."""
    ctx, world = made(tmp_path, way or Strategy.ROLLING)
    if way is None:
        world.watchers.clear()
    wish = with_canary(way) if way else Wish("operator:me", canary=CANARY)
    if harm == "errors":
        world.failing.add(NEW)
    if harm == "latency":
        world.slow[NEW] = 1000
    if harm == "probe":
        world.wedging.add(NEW)
    if harm == "none":
        upgrade(ctx, "pulse", NEW, wish)
        assert world.answers("pulse") == {NEW}
        return
    with pytest.raises(Failed, match="CANARY_STOPPED") as caught:
        upgrade(ctx, "pulse", NEW, wish)
    assert harm in caught.value.problems[0].message
    assert ctx.release("pulse").share == 0
    assert world.answers("pulse") == {OLD}, "nobody is sent to the new one any more"
    operation = ctx.store.runs.all(1)[0].operation
    abort_run(ctx, operation)
    assert world.answers("pulse") == {OLD}
    assert ctx.release("pulse").slots == {"a": OLD}


def test_a_share_that_nobody_used_has_shown_nothing(tmp_path: Path) -> None:
    ctx, world = made(tmp_path, Strategy.CUT_OVER)
    world.rate_per_tick = 0
    with pytest.raises(PermafrostError, match="untried: 0 requests"):
        upgrade(ctx, "pulse", NEW, with_canary(Strategy.CUT_OVER))
    assert world.answers("pulse") == {OLD}


def test_old_pins_are_kept_for_a_while(tmp_path: Path) -> None:
    ctx, world = made(tmp_path, Strategy.CUT_OVER)
    kept: list[float] = []
    world.watchers.append(
        lambda *_: (
            kept.append(world.seconds)
            if world.answers("pulse") == {NEW} and world.pinned_to("pulse", OLD) == {OLD}
            else None
        )
    )
    upgrade(ctx, "pulse", NEW, replace(WISHES[Strategy.CUT_OVER], pins_s=60))
    assert kept, "after the switch an old pin is answered by its own version"
    switched = next(e for e in ctx.store.journal(ctx.store.runs.all(1)[0].operation)
                    if e.kind == "keep-pins")  # fmt: skip
    assert switched.target == "pulse"
    assert has_moved(ctx, world)


@pytest.mark.parametrize("blunder", ["drain", "proof"])
def test_control_what_leaves_out_the_drain_or_the_proof_is_judged(
    tmp_path: Path, blunder: str
) -> None:
    """The judge itself: an exchange under clients, and a switch to what nobody has."""
    ctx, _ = made(tmp_path, Strategy.CUT_OVER)
    if blunder == "drain":
        with pytest.raises(AssertionError, match="clients are sent there"):
            ctx.models.exchange("lab-pulse-01", "b", NEW)
        return
    ctx.traffic.set_routes({"chat": "a", "pulse": "b"}, but=frozenset({"lab-edge-02"}))
    with pytest.raises(AssertionError, match="serve"):
        ctx.models.fetch("lab-pulse-01", NEW)
