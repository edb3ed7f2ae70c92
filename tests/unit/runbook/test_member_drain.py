"""A member of the knowledge tier is drained by itself and comes back, killed on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.engine.runs import RunState
from permafrost.errors import Failed, Refused
from permafrost.facts import ServerState
from permafrost.planning.knowledge import members
from permafrost.planning.lifecycle import DeclaredState
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.execution import RunResult
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.member_drain import (
    drain_member,
    member_named,
    preview_drain,
    preview_undrain,
    undrain_member,
)
from permafrost.runbook.recovery import abort_run, resume_run
from permafrost.topology import Node
from tests.fakes.killing import KillAt, another_process
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.site import placed_context
from tests.fakes.world import Cut, World
from tests.unit.runbook.test_members import judge, site_with_knowledge

ME, FIRST, SECOND = "operator:me", "lab-knowledge-01", "lab-knowledge-02"
DRAIN = ["declare-member-away", "hand-over", "declare-member-away"]


@pytest.fixture
def world() -> World:
    world = World.of(site_with_knowledge())
    world.etcd_leader = FIRST
    world.watchers.append(lambda what, target: judge(world, what, target))
    return world


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def member(ctx: Context, name: str) -> Node:
    node = member_named(ctx, name)
    assert node is not None
    return node


def drain(ctx: Context, name: str) -> RunResult:
    return drain_member(ctx, member(ctx, name), owner=ME, reason="a disk is changed")


def undrain(ctx: Context, name: str) -> RunResult:
    return undrain_member(ctx, member(ctx, name), owner=ME)


def state(ctx: Context, name: str) -> DeclaredState | None:
    declared = ctx.store.declared().get(name)
    return declared.state if declared else None


def test_it_gives_away_runs_on_and_comes_back(ctx: Context, world: World) -> None:
    made = preview_drain(ctx, member(ctx, FIRST), owner=ME)
    assert [s.kind for s in made.steps] == DRAIN
    assert drain(ctx, FIRST).receipt
    assert state(ctx, FIRST) is DeclaredState.DRAINED
    assert world.machines[FIRST].is_on
    assert FIRST not in FakeVectorStore(world).serving("proxies")
    assert read_knowledge(ctx, away=(FIRST,)).is_ready
    assert not read_knowledge(ctx).is_ready, "the control: it is seen to be away"
    assert preview_drain(ctx, member(ctx, FIRST), owner=ME).steps == ()
    undrain(ctx, FIRST)
    assert state(ctx, FIRST) is DeclaredState.ADMITTED
    assert read_knowledge(ctx).is_ready
    assert preview_undrain(ctx, member(ctx, FIRST)).steps == ()


def test_one_that_was_never_drained_is_not_brought_back(ctx: Context) -> None:
    assert undrain(ctx, FIRST).operation == ""


def test_no_second_one_goes_and_none_is_configured_meanwhile(ctx: Context, world: World) -> None:
    drain(ctx, FIRST)
    for attempt in (
        lambda: drain(ctx, SECOND),
        lambda: converge_node(ctx, SECOND),
        lambda: converge_node(ctx, FIRST),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "MEMBER_DRAINED"
        assert f"undrain {FIRST}" in refused.value.problems[0].hint
    with pytest.raises(Refused) as host:
        enter(ctx, world.machines[SECOND].host, owner=ME)
    assert "KNOWLEDGE_NOT_WHOLE" in {p.code for p in host.value.problems}
    undrain(ctx, FIRST)
    drain(ctx, SECOND)


def test_edges_are_not_told_of_it(ctx: Context, world: World) -> None:
    """It is no server of an endpoint: an edge that is made anew would know none of that name."""
    world.rate_per_tick = 0
    drain(ctx, FIRST)
    drain_replica(ctx, "lab-chat-01", owner=ME)
    for key in world.edge_state:
        world.edge_state[key] = ServerState.READY
    assert reassert_drains(ctx) == ("lab-chat-01",)


def test_where_the_others_are_not_whole_it_stays(ctx: Context, world: World) -> None:
    world.watchers.clear()
    world.handed_over.add(SECOND)
    with pytest.raises(Refused) as refused:
        drain(ctx, FIRST)
    assert refused.value.code == "KNOWLEDGE_NOT_WHOLE"
    assert FIRST not in world.handed_over
    assert state(ctx, FIRST) is None


def test_a_maintenance_of_its_host_brings_it_back_whole(ctx: Context, world: World) -> None:
    world.rate_per_tick = 0
    drain(ctx, FIRST)
    host = world.machines[FIRST].host
    enter(ctx, host, owner=ME)
    leave(ctx, host, owner=ME)
    assert state(ctx, FIRST) is DeclaredState.ADMITTED
    assert read_knowledge(ctx).is_ready


def test_one_that_is_in_maintenance_is_not_drained(ctx: Context, world: World) -> None:
    enter(ctx, world.machines[FIRST].host, owner=ME)
    with pytest.raises((Refused, Failed)) as refused:
        drain(ctx, FIRST)
    assert refused.value.code == "MAINTENANCE_IN_PROGRESS"


@pytest.mark.thorough
@pytest.mark.parametrize("recover", [resume_run, abort_run])
@pytest.mark.parametrize("moment", range(12))
def test_killed_on_the_way_it_is_finished_or_taken_back(
    ctx: Context, world: World, moment: int, recover: Callable[[Context, str], RunResult]
) -> None:
    ctx.crash = KillAt(moment)
    try:
        drain(ctx, FIRST)
        undrain(ctx, FIRST)
    except Cut:
        pass
    else:
        assert moment >= MOMENTS, "the kill came after the end"
        return
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    recover(after, run.operation)
    is_drain = run.plan.command == "drain"
    done = after.store.runs.get(run.operation)
    assert done is not None
    assert done.state is (RunState.DONE if recover is resume_run else RunState.ABORTED)
    if (recover is resume_run) == is_drain:
        assert state(after, FIRST) is DeclaredState.DRAINED
        assert FIRST in world.handed_over
        undrain(after, FIRST)
    assert state(after, FIRST) in (None, DeclaredState.ADMITTED)
    assert FIRST not in world.handed_over
    assert read_knowledge(after).is_ready


MOMENTS = 4 * 2
"""At least two moments a step, of three steps and one."""


def test_every_member_can_go_in_turn(ctx: Context) -> None:
    for node in members(ctx.site):
        drain(ctx, node.name)
        undrain(ctx, node.name)
    assert read_knowledge(ctx).is_ready
