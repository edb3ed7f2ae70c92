"""Query nodes whose emptying was cut off: they run, and Milvus gives them nothing any more."""

from __future__ import annotations

import pytest

from permafrost.errors import Refused
from permafrost.planning.knowledge import members
from permafrost.planning.query_replicas import QueryNode
from permafrost.runbook import query_replicas
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.member_drain import drain_member
from permafrost.runbook.recovery import abort_run, resume_run
from tests.fakes.killing import another_process
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.world import Cut, World
from tests.unit.runbook.test_members import ME, THREE, TWO, ctx, host_of, of, world

__all__ = ["ctx", "world"]


def mark(world: World, node: QueryNode) -> None:
    """Its emptying is cut off: it runs, and Milvus gives it nothing any more."""
    FakeVectorStore(world).query_nodes()
    world.query.marked.add(world.query.numbers[node])


def marked(world: World) -> set[int]:
    return world.query.marked & set(world.query.numbers.values())


@pytest.mark.parametrize("recover", [resume_run, abort_run])
def test_a_query_node_that_was_emptied_and_never_stopped_begins_anew(
    ctx: Context, world: World, recover: object
) -> None:
    """Killed while the member gives away: all of it runs yet and answers right."""
    host = host_of(world, TWO)

    def cut(done: str, target: str) -> None:
        if (done, target) == ("hand-over", TWO):
            raise Cut

    world.watchers.append(cut)
    with pytest.raises(Cut):
        enter(ctx, host, owner=ME)
    world.watchers.remove(cut)
    mark(world, of(TWO)[0])
    (lack,) = read_knowledge(ctx).problems
    assert (lack.member, lack.message.split(" is ")[0]) == (TWO, "milvus-query-1")
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    assert callable(recover)
    recover(after, run.operation)
    if recover is resume_run:
        leave(after, host, owner=ME)
    assert not marked(world)
    assert read_knowledge(after).is_ready


def test_one_that_is_left_emptied_speaks_against_a_stop_elsewhere_and_the_way_out_is_said(
    ctx: Context, world: World
) -> None:
    mark(world, of(THREE)[1])
    node = next(n for n in members(world.site) if n.name == TWO)
    with pytest.raises(Refused, match=f"`permafrost converge {THREE}` has it begin anew"):
        drain_member(ctx, node, owner=ME)
    assert query_replicas.fill_replicas(ctx, leaving=TWO) == ()
    assert not marked(world)
    drain_member(ctx, node, owner=ME)


def test_one_that_is_left_emptied_elsewhere_begins_anew_before_the_tier_is_waited_for(
    ctx: Context, world: World
) -> None:
    """Killed while it was restarted for the place of another's."""
    host = host_of(world, TWO)
    enter(ctx, host, owner=ME)
    mark(world, of(THREE)[1])
    leave(ctx, host, owner=ME)
    assert not marked(world)
    assert read_knowledge(ctx).is_ready
