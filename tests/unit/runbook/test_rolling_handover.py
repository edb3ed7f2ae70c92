"""What a member hands over in its turn: replicas of its query nodes, and before its VM changes."""

from __future__ import annotations

import pytest

from permafrost.errors import Failed
from permafrost.planning.knowledge import members
from permafrost.runbook import member_turn
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.knowledge import read_knowledge
from tests.fakes.killing import another_process
from tests.fakes.world import Cut, World
from tests.unit.runbook.rolling_tier import SITE, THREE, TWO, ctx, deploy, is_done, world
from tests.unit.runbook.test_members import align, restarts

__all__ = ["ctx", "world"]


@pytest.mark.thorough
@pytest.mark.parametrize("moment", range(12))
def test_replicas_that_stand_on_one_member_each_survive_a_kill_around_any_effect(
    ctx: Context, world: World, moment: int
) -> None:
    """A member gives away, and one of the other's query nodes restarts for the replica it had."""
    align(world)
    if moment == 0:
        deploy(ctx)
        # Once: each replica spans two from then on. The others spread what leads, once each.
        assert restarts(world)[0] == f"{THREE} milvus-query-1"
        assert len(restarts(world)) == 3
        (run,) = [o for o in ctx.store.operations() if o.command == f"converge {TWO}"]
        (done,) = [e for e in ctx.store.journal(run.id) if e.kind == "hand-over"][1:]
        assert "no query node had replica docs-0" in str(done.detail)
        return
    world.cut_in = moment - 1
    with pytest.raises(Cut):
        deploy(ctx)
    after = another_process(ctx, world)
    deploy(after)
    assert is_done(after), moment
    assert len(restarts(world)) <= 4


def test_a_lost_member_that_had_all_of_a_replica_is_built_anew(ctx: Context, world: World) -> None:
    """Nothing gave away, and the others are not whole before one of theirs has been restarted."""
    align(world)
    world.power_off(THREE)
    assert any("docs-1" in p.message for p in read_knowledge(ctx, mending=(THREE,)).problems)
    with pytest.raises(Failed, match="no answer"):
        converge_node(ctx, THREE, vm="new", fingerprint="new")
    assert restarts(world) == [f"{TWO} milvus-query-1"]
    assert not read_knowledge(ctx, mending=(THREE,)).problems
    world.power_on(THREE)
    converge_node(ctx, THREE, vm="new", fingerprint="new")
    assert read_knowledge(ctx).is_ready


def test_who_gave_way_before_its_vm_was_touched_is_brought_back_by_its_convergence(
    ctx: Context, world: World
) -> None:
    """Also where nothing else has changed: what it is configured as is as it was."""
    node = next(n for n in members(SITE) if n.name == TWO)
    assert member_turn.give_way(ctx, node, owner="pulumi")
    assert (world.handed_over, member_turn.unfinished_turn(ctx)) == ({TWO}, TWO)
    world.power_off(TWO)
    world.power_on(TWO)
    converge_node(ctx, TWO, vm=f"vm-{TWO}", fingerprint="old")
    assert read_knowledge(ctx).is_ready
    assert member_turn.unfinished_turn(ctx) == ""


def test_who_does_not_answer_gives_nothing_away_before_its_vm_is_touched(
    ctx: Context, world: World
) -> None:
    world.power_off(TWO)
    node = next(n for n in members(SITE) if n.name == TWO)
    assert not member_turn.give_way(ctx, node, owner="pulumi")
    assert world.effects == []


def test_a_settled_member_whose_vm_has_changed_is_waited_for(ctx: Context, world: World) -> None:
    world.handed_over.add(TWO)
    with pytest.raises(Failed):
        converge_node(ctx, TWO, vm=f"vm-{TWO}", fingerprint="old")
    world.handed_over.clear()
    assert converge_node(ctx, TWO, vm=f"vm-{TWO}", fingerprint="old").notes
