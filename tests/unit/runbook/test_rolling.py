"""Members of the knowledge tier are configured anew one after the other.

At every effect somebody answers right; who is configured has given away before; nobody else is
away meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.engine.state import Phase
from permafrost.errors import Failed, PermafrostError, Refused
from permafrost.planning.knowledge import members
from permafrost.planning.lifecycle import MaintenanceRecord, MaintenanceState
from permafrost.runbook import member_turn
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.founding import FOUNDED, owner_id
from permafrost.runbook.knowledge import read_knowledge, settle_cluster
from permafrost.site.model import Site
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.site import context
from tests.fakes.world import World
from tests.unit.runbook.rolling_tier import (
    ONE,
    ORDER,
    SITE,
    THREE,
    TWO,
    ctx,
    deploy,
    is_done,
    world,
)

__all__ = ["ctx", "world"]

STORES = ("etcd", "object_store", "queue")


def test_standby_coordinators_go_first_and_the_active_ones_before_who_has_none() -> None:
    assert ORDER == [TWO, ONE, THREE]


def test_each_gives_away_is_configured_and_whole_before_the_next(
    ctx: Context, world: World
) -> None:
    deploy(ctx)
    steps = [e for e in world.effects if e.split()[0] in ("hand-over", "configure")]
    assert steps == [f"{what} {name}" for name in ORDER for what in ("hand-over", "configure")]
    assert is_done(ctx)
    assert member_turn.unfinished_turn(ctx) == ""
    world.effects.clear()
    deploy(ctx)
    assert world.effects == [], "a second deployment changes nothing"


def test_a_turn_is_in_the_journal(ctx: Context) -> None:
    evidence = converge_node(ctx, TWO, vm="vm-x", fingerprint="new")
    assert evidence.drained
    (run,) = [o for o in ctx.store.operations() if o.command == f"converge {TWO}"]
    lines = [(e.kind, e.phase) for e in ctx.store.journal(run.id)]
    assert lines == [
        (kind, phase)
        for kind in ("hand-over", "converge", "await-tier")
        for phase in (Phase.INTENT, Phase.DONE)
    ]


def test_what_was_configured_by_hand_is_not_configured_again_by_a_deployment(
    ctx: Context, world: World
) -> None:
    """Another certificate changes what it is configured as, and its disk says so already."""
    new = ctx.converger.fingerprint(next(n for n in members(SITE) if n.name == TWO))
    converge_node(ctx, TWO, owner="converge", renew_certificate=True)
    assert f"configure {TWO}" in world.effects
    world.effects.clear()
    converge_node(ctx, TWO, vm=f"vm-{TWO}", fingerprint=new)
    assert world.effects == []
    converge_node(ctx, TWO, vm="another-vm", fingerprint=new)
    assert f"configure {TWO}" in world.effects, "the control: another VM is another disk"


def test_nobody_gives_away_while_coordinators_are_about_to_change_places(
    ctx: Context, world: World
) -> None:
    """They move the segments that are handed over."""
    world.took_over = (TWO, 70.0)
    at: dict[str, float] = {}
    world.watchers.append(lambda what, target: at.setdefault(f"{what} {target}", world.seconds))
    converge_node(ctx, THREE, vm="vm", fingerprint="new")
    assert at[f"hand-over {THREE}"] >= 70.0
    world.took_over = (TWO, world.seconds + 10_000.0)
    converge_node(ctx, ONE, vm="vm", fingerprint="newer")
    assert at[f"hand-over {ONE}"] < 200.0, "the control: who is first itself waits for nobody"


def test_nothing_is_touched_while_another_member_is_not_right(ctx: Context, world: World) -> None:
    world.handed_over.add(THREE)
    with pytest.raises(Failed) as failed:
        converge_node(ctx, TWO, vm="x", fingerprint="new")
    assert {p.code for p in failed.value.problems} == {"KNOWLEDGE_NOT_READY"}
    assert world.effects == []


def test_what_is_broken_may_be_mended_although_the_others_miss_it(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its etcd does not run: the others say that one is missing, which is what is to be mended."""
    world.empty_disks.add(TWO)
    monkeypatch.setattr(
        FakeVectorStore, "disk", lambda _, name: member_turn.MemberDisk(name, frozenset(STORES))
    )
    world.watchers.append(
        lambda what, target: world.empty_disks.discard(target) if what == "configure" else None
    )
    converge_node(ctx, TWO, vm="x", fingerprint="new")
    assert read_knowledge(ctx).is_ready


def test_a_change_that_fails_leaves_the_member_serving_and_the_next_untouched(
    ctx: Context, world: World
) -> None:
    ctx.converger.refuses.add(TWO)  # type: ignore[attr-defined]
    with pytest.raises(Failed, match="a task has failed"):
        deploy(ctx)
    assert world.handed_over == set()
    assert not any("configure" in e for e in world.effects)
    assert read_knowledge(ctx).is_ready
    ctx.converger.refuses.clear()  # type: ignore[attr-defined]
    deploy(ctx)
    assert is_done(ctx)


def test_the_next_waits_until_the_answers_have_been_right_for_a_while(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right once is not right: Milvus misses rows, without an error, after a node came back."""
    wrong_at: list[float] = []
    real = FakeVectorStore.canaries

    def flickering(self: FakeVectorStore, member: str) -> object:
        answers = real(self, member)
        if wrong_at and wrong_at[0] + 2 <= world.seconds < wrong_at[0] + 5:
            return type(answers)(member, 16, 15, 1)
        return answers

    monkeypatch.setattr(FakeVectorStore, "canaries", flickering)
    seen: list[tuple[str, float]] = []

    def watch(what: str, target: str) -> None:
        seen.append((f"{what} {target}", world.seconds))
        if what == "configure" and not wrong_at:
            wrong_at.append(world.seconds)

    world.watchers.append(watch)
    deploy(ctx)
    times = dict(seen)
    assert times[f"hand-over {ONE}"] - wrong_at[0] >= 5 + member_turn.STEADY_S


def test_a_role_that_nobody_else_has_is_not_waited_for(tmp_path: Path) -> None:
    values = SITE.model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"]["roles"] |= {"coordinators": 1}
    site = Site.model_validate(values)
    world = World.of(site)
    ctx = context(tmp_path / "state", world)
    ctx.store.remember(FOUNDED, {"version": "2.3.5"})
    evidence = converge_node(ctx, ONE, vm="x", fingerprint="new")
    assert not evidence.drained
    assert "nobody else is left with the role coordinators" in evidence.notes[0]
    assert world.effects == [f"configure {ONE}"]


def test_a_member_in_maintenance_keeps_all_others_from_their_turn(
    ctx: Context, world: World
) -> None:
    at = MaintenanceRecord(
        host="lab-esx-01", name="lab-esx-01", state=MaintenanceState.IN, operation="x",
        owner="operator:me", at="now", replicas=(), moved=(), powered=(THREE,),
    )  # fmt: skip
    ctx.store.maintenance.put(at)
    with pytest.raises(Refused, match="is not touched"):
        converge_node(ctx, TWO, vm="x", fingerprint="new")
    assert world.effects == []


def test_members_of_a_new_cluster_wait_for_nobody(tmp_path: Path) -> None:
    world = World.of(SITE)
    ctx = context(tmp_path / "state", world)
    world.handed_over |= set(ORDER)
    deploy(ctx)
    assert world.effects == [f"configure {name}" for name in ORDER]
    settle_cluster(ctx, owner="pulumi")
    assert ctx.store.recall(FOUNDED) == {
        "version": "2.3.5",
        "object_store": "the bundled object store",
        "etcd_tls": False,
        "queue_tls": False,
        "object_store_tls": False,
    }
    assert world.owner == owner_id(ctx)


def test_a_cluster_from_before_anything_was_noted_has_turns_too(
    ctx: Context, world: World
) -> None:
    ctx.store.remember(FOUNDED, {})
    converge_node(ctx, TWO, vm="x", fingerprint="new")
    assert world.effects[:2] == [f"hand-over {TWO}", f"configure {TWO}"]


def test_a_broken_member_that_cannot_give_everything_away_is_judged_by_the_others(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FakeVectorStore, member: str, *, deadline_s: float) -> None:
        world.handed_over.add(member)
        world.etcd_leader = THREE
        raise Failed(member_turn.Problem("KNOWLEDGE_NOT_MOVED", "systemctl ended with 1", member))

    monkeypatch.setattr(FakeVectorStore, "hand_over", refuse)
    evidence = converge_node(ctx, TWO, vm="x", fingerprint="new")
    assert any("systemctl ended with 1" in note for note in evidence.notes)
    assert read_knowledge(ctx).is_ready


@pytest.mark.parametrize("name", ORDER)
def test_somebody_elses_cluster_is_not_touched(
    ctx: Context, world: World, name: str, request: pytest.FixtureRequest
) -> None:
    world.owner = "lab-of-somebody-else"
    work: list[Callable[[], object]] = [
        lambda: converge_node(ctx, name, vm="x", fingerprint="new"),
        lambda: settle_cluster(ctx, owner="pulumi"),
    ]
    for do in work:
        with pytest.raises(PermafrostError) as refused:
            do()
        assert refused.value.code == "KNOWLEDGE_NAME_TAKEN"
    assert world.effects == []
