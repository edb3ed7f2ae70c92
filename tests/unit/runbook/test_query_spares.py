"""Spare query nodes of the knowledge tier: called before a member goes, ended once it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.errors import Failed, Problem
from permafrost.planning.knowledge import members
from permafrost.planning.query_replicas import QueryNode
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.member_drain import drain_member
from permafrost.runbook.query_replicas import fill_replicas
from permafrost.runbook.query_spares import bring_home
from permafrost.runbook.recovery import abort_run, resume_run
from tests.fakes.killing import another_process
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.site import placed_context
from tests.fakes.world import Cut, World
from tests.unit.runbook.rolling_tier import as_configured
from tests.unit.runbook.test_members import (
    ME,
    THREE,
    TWO,
    align,
    cut_on_the_way,
    host_of,
    judge,
    of,
    restarts,
    site_with_knowledge,
    somebody_has_each_collection,
)

SPARES = {TWO: QueryNode(TWO, "milvus-query-spare"), THREE: QueryNode(THREE, "milvus-query-spare")}


@pytest.fixture
def world() -> World:
    world = World.of(site_with_knowledge())
    world.etcd_leader = "lab-knowledge-01"
    world.watchers.append(lambda what, target: judge(world, what, target))
    align(world)
    world.query.has_spares = True
    world.witnesses.append(lambda *_: each_replica_has_a_node(world))
    return world


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def each_replica_has_a_node(world: World) -> None:
    FakeVectorStore(world).query_nodes()
    assert all(all(replicas) for replicas in world.query.has.values()), world.query.has


@pytest.mark.parametrize("name", [TWO, THREE])
def test_no_replica_is_without_a_node_and_the_spare_ends_when_the_member_is_back(
    ctx: Context, world: World, name: str
) -> None:
    stays = TWO if name == THREE else THREE
    done = enter(ctx, host_of(world, name), owner=ME)
    (evidence,) = [r.evidence for r in done.results if r.step.kind == "hand-over"]
    assert evidence["restarted"] == [f"{stays}: milvus-query-spare started for what {name} had"]
    assert world.query.called == {SPARES[stays]}
    assert restarts(world) == []
    seen = next(m for m in read_knowledge(ctx, away=(name,)).members if m["name"] == stays)
    assert seen["units"]["milvus-query-spare"] == "active"
    left = leave(ctx, host_of(world, name), owner=ME)
    (back,) = [r.evidence for r in left.results if r.step.kind == "await-member"]
    assert f"{stays}: milvus-query-spare ended" in back["restarted"]
    assert world.query.called == set()
    assert read_knowledge(ctx).is_ready
    assert world.query.percent() == {"docs": 100, "mixed": 100}


def test_one_emptied_for_it_runs_again_when_the_maintenance_is_left(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spare does not start: the member stays, with all of its query nodes."""

    def refuse(*_: object, **__: object) -> None:
        raise Failed(Problem("KNOWLEDGE_NOT_MOVED", "systemctl ended with 1", TWO))

    monkeypatch.setattr(FakeVectorStore, "start", refuse)
    with pytest.raises(Failed, match="systemctl ended with 1"):
        enter(ctx, host_of(world, THREE), owner=ME)
    assert world.query.stopped == {of(THREE)[0]}
    leave(ctx, host_of(world, THREE), owner=ME)
    assert world.query.stopped == set()
    assert read_knowledge(ctx).is_ready


@pytest.mark.thorough
@pytest.mark.parametrize("recover", [resume_run, abort_run])
@pytest.mark.parametrize("moment", range(0, 60, 3))
def test_killed_at_any_moment_the_next_process_does_the_rest(
    ctx: Context, world: World, moment: int, recover: object
) -> None:
    host = host_of(world, THREE)
    after, run = cut_on_the_way(ctx, world, moment, host)
    assert callable(recover)
    recover(after, run.operation)
    if (recover is resume_run) == (run.plan.command == "maintenance enter"):
        assert read_knowledge(after, away=(THREE,)).is_ready
        leave(after, host, owner=ME)
    assert read_knowledge(after).is_ready
    assert (world.query.called, world.query.stopped) == (set(), set())


@pytest.mark.parametrize("what", ["stop", "start", "hand-over"])
@pytest.mark.parametrize("recover", [resume_run, abort_run])
def test_killed_right_after_one_of_its_effects(
    ctx: Context, world: World, what: str, recover: object
) -> None:
    def cut(done: str, target: str) -> None:
        if done == what and "knowledge" in target:
            world.witnesses.remove(cut)
            raise Cut

    world.witnesses.append(cut)
    with pytest.raises(Cut):
        enter(ctx, host_of(world, THREE), owner=ME)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    assert callable(recover)
    recover(after, run.operation)
    if recover is resume_run:
        leave(after, host_of(world, THREE), owner=ME)
    assert read_knowledge(after).is_ready
    assert (world.query.called, world.query.stopped) == (set(), set())


def test_a_turn_calls_a_spare_before_and_ends_it_after(ctx: Context, world: World) -> None:
    as_configured(ctx, "old")
    evidence = converge_node(ctx, THREE, vm="vm", fingerprint="new")
    assert f"{TWO}: milvus-query-spare started for what {THREE} had" in evidence.notes
    done = [e for e in world.effects if "knowledge" in e]
    ends = f"stop {TWO} milvus-query-spare"
    order = [f"start {TWO} milvus-query-spare", f"hand-over {THREE}", f"configure {THREE}", ends]
    assert [e for e in done if e in order] == order
    assert world.query.called == set()


@pytest.mark.parametrize("asked_before_it_registers", [0, 8])
def test_a_member_that_is_lost_is_stood_in_for_by_a_spare(
    asked_before_it_registers: int, ctx: Context, world: World
) -> None:
    """Nobody could be emptied: a spare joins what has no node, and nobody who leads moves.

    Also where its process runs for a while before it registers.
    """
    world.query.late[SPARES[TWO]] = asked_before_it_registers
    world.witnesses.clear()
    world.watchers.clear()
    world.power_off(THREE)
    FakeVectorStore(world).query_nodes()
    assert world.query.percent()["docs"] == 50, "the control"
    said = fill_replicas(ctx, leaving=THREE)
    assert said == (
        f"{TWO}: milvus-query-spare started, no query node had replica docs-1 of collection docs",
    )
    assert restarts(world) == []
    assert world.query.percent() == {"docs": 100, "mixed": 100}
    somebody_has_each_collection(world)


def test_a_spare_that_is_still_needed_runs_on(ctx: Context, world: World) -> None:
    tier = FakeVectorStore(world)
    tier.start(TWO, "milvus-query-spare")
    tier.query_nodes()
    two, three = of(TWO), of(THREE)
    world.query.load("docs", (SPARES[TWO],), (*two, *three))
    assert any("unlike numbers" in line for line in bring_home(ctx))
    assert world.query.called == set(), "once others had joined"
    assert read_knowledge(ctx).is_ready


def test_nothing_is_called_for_replicas_that_span_two_members(ctx: Context, world: World) -> None:
    world.query.has.pop("docs")
    node = next(n for n in members(world.site) if n.name == TWO)
    drain_member(ctx, node, owner=ME)
    assert not [e for e in world.effects if e.startswith(("start ", "stop "))]


def test_a_restart_that_does_not_help_is_not_tried_again(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus gives the new process the place of the old one."""
    world.query.load("docs", (of(TWO)[0],), (of(TWO)[1], *of(THREE)))
    monkeypatch.setattr(FakeVectorStore, "restart", lambda *_, **__: None)
    said = bring_home(ctx)
    assert len([line for line in said if "unlike numbers" in line]) == 1
