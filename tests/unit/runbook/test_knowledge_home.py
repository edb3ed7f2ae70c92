"""A deployment brings home what moved in the knowledge tier once its members are back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from permafrost.facts import MemberState
from permafrost.planning.deploy import Plan
from permafrost.planning.knowledge_home import left_away
from permafrost.planning.lifecycle import MaintenanceRecord, MaintenanceState
from permafrost.planning.lookup import node_named
from permafrost.planning.query_leaders import SPREAD_UNIT
from permafrost.runbook.context import Context
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.founding import FOUNDED
from permafrost.runbook.knowledge import answering, read_knowledge
from permafrost.runbook.member_drain import drain_member
from tests.fakes.killing import KillAt, another_process
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.site import context
from tests.fakes.world import Cut, World
from tests.unit.runbook.test_members import (
    ME,
    THREE,
    TWO,
    align,
    homes_of_leaders,
    host_of,
    judge,
    restarts,
    site_with_knowledge,
)

ONE = "lab-knowledge-01"
APART = {frozenset({TWO, THREE})}
ON_THREE = frozenset({THREE})


@pytest.fixture
def world() -> World:
    world = World.of(site_with_knowledge())
    world.etcd_leader = ONE
    return world


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """A site that a deployment has made, and whose tier has answered right."""
    ctx = context(tmp_path / "state", world)
    execute(ctx, make_plan(ctx))
    align(world)
    ctx.store.remember(FOUNDED, {"version": "2.3.5"})
    read_knowledge(ctx)
    world.watchers.append(lambda what, target: judge(world, what, target))
    return ctx


def lose(world: World, name: str) -> None:
    """The power of a member is pulled, and coordinators have dealt what it had to others."""
    world.machines[name].is_on = False
    FakeVectorStore(world).query_nodes()


def come_back(ctx: Context, world: World, name: str) -> None:
    """vSphere has brought it back."""
    world.machines[name].is_on = True
    world.start_all(name)
    assert read_knowledge(ctx).is_ready


def kinds(plan: Plan) -> list[str]:
    return [f"{s.kind} {s.target}" for s in plan.steps]


def test_a_tier_at_home_is_left_alone(ctx: Context, world: World) -> None:
    assert homes_of_leaders(world) == APART
    assert make_plan(ctx).steps == ()


def test_what_members_do_by_themselves_is_left_to_them(ctx: Context, world: World) -> None:
    """Where each with query nodes does; a unit that does not run leaves it to the deployment."""
    lose(world, TWO)
    come_back(ctx, world, TWO)
    states = answering(ctx)
    assert left_away(ctx.site, states), "the control"

    def spreads(word: str) -> dict[str, MemberState]:
        words = {TWO: "active", THREE: word}
        return {
            name: replace(state, units={**state.units, SPREAD_UNIT: words[name]})
            if name in words
            else state
            for name, state in states.items()
        }

    assert left_away(ctx.site, spreads("active")) == ""
    assert left_away(ctx.site, spreads("failed")) != ""


def test_what_a_member_empties_by_itself_was_cut_off_by_nobody(ctx: Context, world: World) -> None:
    """The control: marked, and no member's turn."""
    world.query.marked.add(min(world.query.numbers.values()))
    states = answering(ctx)
    assert "emptied by something that was cut off" in left_away(ctx.site, states)
    turn = {name: replace(state, turn="10.20.0.25") for name, state in states.items()}
    assert left_away(ctx.site, turn) == ""


def test_one_that_the_plan_brings_back_is_followed_by_what_moved(
    ctx: Context, world: World
) -> None:
    lose(world, TWO)
    plan = make_plan(ctx)
    assert kinds(plan) == [f"power-on {TWO}", "bring-home knowledge"]
    assert plan.steps[-1].detail == f"once {TWO} is back"
    assert not plan.is_pulumis
    assert ON_THREE in homes_of_leaders(world), "the control"
    receipt = execute(ctx, plan)
    assert homes_of_leaders(world) == APART
    assert "leaders stood on one member alone" in str(receipt["notes"])
    assert make_plan(ctx).steps == ()


def test_what_vsphere_has_brought_back_is_seen_by_the_next_deployment(
    ctx: Context, world: World
) -> None:
    lose(world, TWO)
    come_back(ctx, world, TWO)
    assert ON_THREE in homes_of_leaders(world), "the control"
    plan = make_plan(ctx)
    assert kinds(plan) == ["bring-home knowledge"]
    assert plan.steps[0].detail.startswith(f"milvus-query-1 of {THREE} begins anew: the loss")
    assert execute(ctx, plan)["changed"] == 1
    assert homes_of_leaders(world) == APART
    assert len(restarts(world)) == 1
    assert execute(ctx, make_plan(ctx))["changed"] == 0


@pytest.mark.parametrize("moment", range(12))
def test_killed_anywhere_the_next_deployment_does_the_rest(
    ctx: Context, world: World, moment: int
) -> None:
    lose(world, TWO)
    come_back(ctx, world, TWO)
    world.cut_in = moment
    try:
        execute(ctx, make_plan(ctx))
    except Cut:
        ctx = another_process(ctx, world)
        execute(ctx, make_plan(ctx))
    assert homes_of_leaders(world) == APART
    assert read_knowledge(ctx).is_ready
    assert make_plan(ctx).steps == ()


def test_a_node_whose_emptying_was_cut_off_begins_anew(ctx: Context, world: World) -> None:
    number = min(world.query.numbers.values())
    world.query.marked.add(number)
    plan = make_plan(ctx)
    assert kinds(plan) == ["bring-home knowledge"]
    assert "emptied by something that was cut off" in plan.steps[0].detail
    execute(ctx, plan)
    assert number not in world.query.numbers.values()
    assert make_plan(ctx).steps == ()


def test_what_has_not_helped_is_not_tried_again_before_something_else_leads(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(world, TWO)
    come_back(ctx, world, TWO)
    asked: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(FakeVectorStore, "restart", lambda *told, **_: asked.append(told[2]))
        execute(ctx, make_plan(ctx))
    assert len(asked) == 1
    assert ON_THREE in homes_of_leaders(world)
    assert make_plan(ctx).steps == ()
    lose(world, TWO)
    come_back(ctx, world, TWO)
    assert kinds(make_plan(ctx)) == ["bring-home knowledge"]


def moved(ctx: Context, world: World) -> None:
    """What leads stands on one member: a deployment would bring it home."""
    lose(world, TWO)
    come_back(ctx, world, TWO)
    assert kinds(make_plan(ctx)) == ["bring-home knowledge"], "the control"


def test_not_while_a_member_is_drained(ctx: Context, world: World) -> None:
    moved(ctx, world)
    drain_member(ctx, node_named(ctx.site, ONE), owner=ME)
    assert left_away(ctx.site, answering(ctx)), "it would be seen"
    assert make_plan(ctx).steps == ()


def test_not_while_a_host_is_in_maintenance(ctx: Context, world: World) -> None:
    moved(ctx, world)
    host = host_of(world, ONE)
    ctx.store.maintenance.put(MaintenanceRecord(host, host, MaintenanceState.IN, "", ME, "now"))
    assert left_away(ctx.site, answering(ctx)), "it would be seen"
    assert make_plan(ctx).steps == ()


def test_not_while_an_operation_of_a_person_is_unfinished(ctx: Context, world: World) -> None:
    moved(ctx, world)
    ctx.crash = KillAt(2)
    with pytest.raises(Cut):
        drain_replica(ctx, "lab-chat-01", owner=ME)
    after = another_process(ctx, world)
    assert left_away(after.site, answering(after)), "it would be seen"
    assert "bring-home knowledge" not in kinds(make_plan(after))


def test_not_while_a_member_answers_nobody(ctx: Context, world: World) -> None:
    lose(world, TWO)
    come_back(ctx, world, TWO)
    states = answering(ctx)
    assert left_away(ctx.site, states)
    del states[ONE]
    assert not left_away(ctx.site, states)
