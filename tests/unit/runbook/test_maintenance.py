"""Hosts taken away and brought back over a simulated site, killed at every moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.engine.runs import RunState
from permafrost.errors import Failed, Refused
from permafrost.planning.force import Force
from permafrost.planning.lifecycle import MaintenanceState
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.maintenance import (
    enter,
    leave,
    preview_enter,
    read_maintenance,
)
from permafrost.runbook.recovery import abort_run, resume_run, run_named
from permafrost.runbook.turns import await_turn
from permafrost.runbook.undrain import undrain_replica
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import context, placed_context, small_site
from tests.fakes.world import Cut, World

HOST, OTHER = "lab-esx-01", "lab-esx-02"
EDGE = "lab-edge-01"
ME = "operator:me"


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def on(world: World, host: str) -> set[str]:
    return {m.name for m in world.machines.values() if m.host == host and m.is_on}


def everything_serves(world: World) -> bool:
    return all(len(world.serving(e)) == 3 for e in ("chat", "pulse"))


def latest(ctx: Context) -> str:
    return ctx.store.runs.all(1)[0].operation


def is_away(ctx: Context, world: World) -> bool:
    record = ctx.store.maintenance.of(HOST)
    return (
        world.hosts[HOST].in_maintenance
        and on(world, HOST) == set()
        and record is not None
        and record.state is MaintenanceState.IN
    )


def is_back(ctx: Context, world: World) -> bool:
    return (
        not world.hosts[HOST].in_maintenance
        and ctx.store.maintenance.all() == ()
        and everything_serves(world)
        and world.machines[EDGE].host == HOST
    )


def test_a_host_goes_and_comes_back(ctx: Context, world: World) -> None:
    floors: list[int] = []
    world.watchers.append(
        lambda *_: floors.append(min(len(world.serving(e)) for e in ("chat", "pulse")))
    )
    made = preview_enter(ctx, HOST, owner=ME)
    kinds = [s.kind for s in made.steps]
    assert kinds.index("move-vm") < kinds.index("set-edges-to-drain") < kinds.index("shut-down")
    assert kinds[-2:] == ["enter-maintenance-mode", "record-maintenance"]
    enter(ctx, HOST, owner=ME, shown=made.fingerprint)
    assert is_away(ctx, world)
    assert world.machines[EDGE].host != HOST
    (seen,) = read_maintenance(ctx)["hosts"]
    assert (seen["state"], seen["in_maintenance_mode"]) == ("IN", True)
    assert enter(ctx, HOST, owner=ME).results == ()
    leave(ctx, HOST, owner=ME)
    assert is_back(ctx, world)
    assert min(floors) >= 2
    with pytest.raises(Refused, match="NOT_IN_MAINTENANCE"):
        leave(ctx, HOST, owner=ME)


@pytest.mark.parametrize("name", ["lab-chat-01", "lab-chat-02"])
def test_a_program_changes_no_vm_meanwhile(ctx: Context, world: World, name: str) -> None:
    enter(ctx, HOST, owner=ME)
    done, began = list(world.effects), world.seconds
    with pytest.raises(Refused, match="MAINTENANCE_IN_PROGRESS"):
        await_turn(ctx, name, "pulumi")
    assert (world.effects, world.seconds) == (done, began), "at once, and nothing was done"
    leave(ctx, HOST, owner=ME)
    await_turn(ctx, name, "pulumi")


def test_never_two_hosts(ctx: Context, world: World) -> None:
    enter(ctx, HOST, owner=ME)
    done = list(world.effects)
    with pytest.raises(Refused) as caught:
        enter(ctx, OTHER, owner=ME)
    codes = {p.code for p in caught.value.problems}
    assert codes == {"OTHER_MAINTENANCE", "BELOW_MIN_READY"}
    assert world.effects == done


def test_a_plan_that_is_stale_is_refused(ctx: Context, world: World) -> None:
    made = preview_enter(ctx, HOST, owner=ME)
    world.hosts["lab-esx-09"] = replace(world.hosts["lab-esx-03"], name="lab-esx-09", moid="h-9")
    with pytest.raises(Refused, match="PLAN_STALE"):
        enter(ctx, HOST, owner=ME, shown=made.fingerprint)
    assert world.effects == []


def test_what_a_person_drained_stays_drained(ctx: Context, world: World) -> None:
    drain_replica(ctx, "lab-pulse-01", owner="operator:other", reason="fan")
    enter(ctx, HOST, owner=ME)
    leave(ctx, HOST, owner=ME)
    assert world.machines["lab-pulse-01"].is_on
    assert not world.takes_requests("lab-pulse-01")
    assert ctx.store.declared()["lab-pulse-01"].reason == "fan"
    assert world.takes_requests("lab-chat-01")


def test_a_host_that_died_in_maintenance_is_left(ctx: Context, world: World) -> None:
    enter(ctx, HOST, owner=ME)
    world.hosts[HOST] = replace(world.hosts[HOST], connected=False)
    leave(ctx, HOST, owner=ME)
    assert ctx.store.maintenance.all() == ()
    assert ctx.store.declared()["lab-chat-01"].state == "OUT"
    assert len(world.serving("chat")) == 2
    world.hosts[HOST] = replace(world.hosts[HOST], connected=True)
    leave(ctx, HOST, owner=ME)
    assert not world.hosts[HOST].in_maintenance


def come_back_closed(ctx: Context, world: World) -> None:
    """The host dies in maintenance, is left, and comes back as it was."""
    enter(ctx, HOST, owner=ME)
    world.hosts[HOST] = replace(world.hosts[HOST], connected=False)
    leave(ctx, HOST, owner=ME)
    world.hosts[HOST] = replace(world.hosts[HOST], connected=True)


@pytest.mark.parametrize("force", [None, *Force])
def test_one_that_came_back_closed_is_opened_before_another_goes(
    ctx: Context, world: World, force: Force | None
) -> None:
    """Enough would serve without both: it is the second failure domain that is refused."""
    for endpoint in world.site.inference.values():
        endpoint.__dict__["min_ready"] = 1
    come_back_closed(ctx, world)
    done = list(world.effects)
    with pytest.raises(Refused) as caught:
        enter(ctx, OTHER, owner=ME, force=force)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("HOST_CLOSED", HOST)
    assert f"`permafrost maintenance exit {HOST}`" in problem.hint
    assert world.effects == done
    leave(ctx, HOST, owner=ME)
    enter(ctx, OTHER, owner=ME, force=force)
    assert world.hosts[OTHER].in_maintenance


def test_one_that_came_back_closed_may_be_entered_again(ctx: Context, world: World) -> None:
    come_back_closed(ctx, world)
    enter(ctx, HOST, owner=ME)
    assert [r.host for r in ctx.store.maintenance.all()] == [HOST]


def test_what_is_in_maintenance_already_is_so_whatever_was_closed_since(
    ctx: Context, world: World
) -> None:
    enter(ctx, HOST, owner=ME)
    world.hosts[OTHER] = replace(world.hosts[OTHER], in_maintenance=True)
    assert preview_enter(ctx, HOST, owner=ME).notes == ("it is in maintenance already",)


def hint_of_undrain(ctx: Context, replica: str) -> str:
    with pytest.raises(Refused, match="REPLICA_NOT_RUNNING") as caught:
        undrain_replica(ctx, replica, owner=ME)
    return caught.value.problems[0].hint


def test_what_is_away_with_its_host_comes_back_as_an_undrain_says(
    ctx: Context, world: World
) -> None:
    """Its VM cannot be powered on: its host is closed."""
    enter(ctx, HOST, owner=ME)
    assert f"`permafrost maintenance exit {HOST}` first" in hint_of_undrain(ctx, "lab-chat-01")
    world.hosts[HOST] = replace(world.hosts[HOST], connected=False)
    assert f"bring {HOST} back" in hint_of_undrain(ctx, "lab-chat-01")
    leave(ctx, HOST, owner=ME)
    world.hosts[HOST] = replace(world.hosts[HOST], connected=True)
    assert f"`permafrost maintenance exit {HOST}` first" in hint_of_undrain(ctx, "lab-chat-01")
    leave(ctx, HOST, owner=ME)
    assert "power the VM on" in hint_of_undrain(ctx, "lab-chat-01")
    world.power_on("lab-chat-01")
    undrain_replica(ctx, "lab-chat-01", owner=ME)
    assert world.takes_requests("lab-chat-01")
    del world.machines["lab-chat-01"]
    assert "`permafrost deploy` makes it" in hint_of_undrain(ctx, "lab-chat-01")


def test_without_a_place_for_the_edge_nothing_is_begun(tmp_path: Path) -> None:
    """Each other host has one."""
    site = small_site()
    site = site.model_copy(update={"edge": site.edge.model_copy(update={"nodes": 3})})
    world = World.of(site)
    ctx = context(tmp_path / "state", world)
    with pytest.raises(Refused, match="EDGE_CANNOT_MOVE"):
        enter(ctx, HOST, owner=ME)
    assert world.effects == []


def test_a_replica_that_serves_is_not_shut_down(ctx: Context, world: World) -> None:
    """Somebody sets it ready at the edge while the host is being emptied."""

    def meddle(what: str, target: str) -> None:
        if what == "shut-down":
            raise AssertionError(f"{target} is shut down while it serves")
        if what == "edge-drain" and target == "lab-pulse-01":
            for key in world.edge_state:
                if key[1] == "lab-chat-01":
                    world.edge_state[key] = world.edge_state[key].READY

    world.watchers.append(meddle)
    with pytest.raises(Refused, match="REPLICA_SERVES"):
        enter(ctx, HOST, owner=ME)


def moments(tmp_path: Path, work: str) -> int:
    """How many moments there are to be killed at."""
    world = World.of(small_site())
    ctx = context(tmp_path / work, world)
    if work == "exit":
        enter(ctx, HOST, owner=ME)
    ctx.crash = count = KillAt()
    (enter if work == "enter" else leave)(ctx, HOST, owner=ME)
    return count.passed


ENTER_MOMENTS, EXIT_MOMENTS = 28, 32


def test_every_moment_is_tried_below(tmp_path: Path) -> None:
    assert moments(tmp_path, "enter") == ENTER_MOMENTS
    assert moments(tmp_path, "exit") == EXIT_MOMENTS


def killed(ctx: Context, world: World, work: Callable[..., object], moment: int) -> Context:
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        work(ctx, HOST, owner=ME)
    for endpoint in ("chat", "pulse"):
        assert len(world.serving(endpoint)) >= 2
    return another_process(ctx, world)


@pytest.mark.exhaustive(4)
@pytest.mark.parametrize("moment", range(ENTER_MOMENTS))
def test_a_killed_enter_is_finished(ctx: Context, world: World, moment: int) -> None:
    after = killed(ctx, world, enter, moment)
    resume_run(after, latest(after))
    assert is_away(after, world)
    leave(after, HOST, owner=ME)
    assert is_back(after, world)


@pytest.mark.exhaustive(4)
@pytest.mark.parametrize("moment", range(ENTER_MOMENTS))
def test_a_killed_enter_is_taken_back(ctx: Context, world: World, moment: int) -> None:
    after = killed(ctx, world, enter, moment)
    abort_run(after, latest(after))
    assert run_named(after, latest(after)).state is RunState.ABORTED
    assert is_back(after, world)


@pytest.mark.exhaustive(10)
@pytest.mark.parametrize("moment", range(EXIT_MOMENTS))
@pytest.mark.parametrize("verb", [resume_run, abort_run])
def test_a_killed_exit(
    ctx: Context, world: World, moment: int, verb: Callable[[Context, str], object]
) -> None:
    enter(ctx, HOST, owner=ME)
    after = killed(ctx, world, leave, moment)
    verb(after, latest(after))
    assert is_back(after, world) if verb is resume_run else is_away(after, world)


@pytest.mark.exhaustive(4)
@pytest.mark.parametrize("moment", range(ENTER_MOMENTS))
def test_killed_and_planned_again_it_ends_the_same(
    ctx: Context, world: World, moment: int
) -> None:
    after = killed(ctx, world, enter, moment)
    enter(after, HOST, owner=ME)
    assert is_away(after, world)
    leave(after, HOST, owner=ME)
    assert is_back(after, world)


def test_a_host_lost_in_mid_enter_leaves_the_rest_serving(ctx: Context, world: World) -> None:
    after = killed(ctx, world, enter, 14)
    world.hosts[HOST] = replace(world.hosts[HOST], connected=False)
    with pytest.raises(Failed):
        resume_run(after, latest(after))
    abort_run(after, latest(after))
    assert after.store.maintenance.all() == ()
    assert len(world.serving("chat")) >= 2
