"""A member whose disk is empty comes back from the others, killed on the way; or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.errors import PermafrostError, Problem, Refused
from permafrost.planning.deploy import Plan
from permafrost.planning.placement import Placement
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.deploy import make_plan
from permafrost.runbook.founding import FOUNDED
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.knowledge_admission import admit_members
from permafrost.runbook.looking import look
from permafrost.runbook.rebuild import preview_rebuild, rebuild
from permafrost.site.model import Site
from tests.fakes.killing import another_process
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.site import context
from tests.fakes.world import Cut, World
from tests.golden.ansible.rendering import golden_site
from tests.unit.runbook.rolling_tier import ONE, ORDER, SITE, THREE, TWO, as_configured, tier

ME = "operator:me"


@pytest.fixture
def world() -> World:
    return tier()


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return as_configured(context(tmp_path / "state", world), "as-it-is")


def refused_with(work: Callable[[], object]) -> set[str]:
    with pytest.raises(PermafrostError) as refused:
        work()
    return {p.code for p in refused.value.problems}


@pytest.mark.parametrize("name", ORDER)
def test_it_leaves_etcd_joins_anew_and_the_tier_is_whole(
    ctx: Context, world: World, name: str
) -> None:
    world.empty_disks.add(name)
    assert not read_knowledge(ctx).is_ready
    plan = preview_rebuild(ctx, name)
    others = tuple(n for n in (ONE, TWO, THREE) if n != name)
    assert {s.sources for s in plan.stores} == {others}
    evidence = rebuild(ctx, name, owner=ME)
    assert read_knowledge(ctx).is_ready
    done, then = world.effects[:3], world.effects[3:]
    assert done == [f"readmit {name}", f"hand-over {name}", f"configure {name}"]
    assert all(effect.startswith("restart ") for effect in then), "leaders are spread"
    assert len([n for n in evidence.notes if n.startswith("rebuilt: ")]) == 3
    assert refused_with(lambda: preview_rebuild(ctx, name)) == {"KNOWLEDGE_NOTHING_LOST"}


def test_without_being_expected_by_the_others_it_does_not_come_back(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: etcd with an empty disk and its old identity never runs."""
    world.empty_disks.add(TWO)
    monkeypatch.setattr(FakeVectorStore, "readmit", lambda *_, **__: None)
    assert refused_with(lambda: rebuild(ctx, TWO, owner=ME)) == {"KNOWLEDGE_NOT_READY"}


@pytest.mark.exhaustive(3)
@pytest.mark.parametrize("moment", range(6))
def test_killed_on_the_way_the_same_command_finishes_it(
    ctx: Context, world: World, moment: int
) -> None:
    world.empty_disks.add(TWO)
    world.cut_in = moment
    with pytest.raises(Cut):
        rebuild(ctx, TWO, owner=ME)
    after = another_process(ctx, world)
    preview_rebuild(after, TWO)
    rebuild(after, TWO, owner=ME)
    assert read_knowledge(after).is_ready
    assert world.empty_disks == set()


def test_two_that_are_empty_are_refused_and_nothing_is_touched(ctx: Context, world: World) -> None:
    world.empty_disks |= {TWO, THREE}
    assert refused_with(lambda: preview_rebuild(ctx, TWO)) == {"KNOWLEDGE_REBUILD_NO_QUORUM"}
    assert refused_with(lambda: rebuild(ctx, TWO, owner=ME)) & {"KNOWLEDGE_NOT_READY"}
    assert world.effects == []


def test_what_is_no_member_and_what_never_answered_is_refused(ctx: Context, world: World) -> None:
    assert refused_with(lambda: preview_rebuild(ctx, "lab-chat-01")) == {"NOT_A_MEMBER"}
    ctx.store.remember(FOUNDED, {})
    assert refused_with(lambda: preview_rebuild(ctx, TWO)) == {"KNOWLEDGE_NOT_FOUNDED"}


def test_a_lost_vm_that_is_made_anew_comes_back_by_its_convergence(
    ctx: Context, world: World
) -> None:
    """What `deploy` does once Pulumi has made the VM: another one, empty, that still boots."""
    world.empty_disks.add(THREE)
    world.power_off(THREE)
    world.power_on(THREE)
    evidence = converge_node(ctx, THREE, vm="another", fingerprint="as-it-is")
    assert read_knowledge(ctx).is_ready
    assert f"readmit {THREE}" in world.effects
    assert evidence.notes


def plan_of(ctx: Context, *steps: tuple[str, str]) -> Plan:
    from permafrost.planning.deploy import Step

    numbered = tuple(Step(f"{i:02}", kind, name) for i, (kind, name) in enumerate(steps, 1))
    return Plan("deploy", "x", numbered, Placement())


def test_the_plan_of_a_deployment_says_what_a_lost_member_gets(ctx: Context, world: World) -> None:
    del world.machines[TWO]
    made = plan_of(ctx, ("create-vm", TWO))
    notes = admit_members(ctx, made, look(ctx))
    assert len(notes) == 3
    assert notes[0].startswith(f"{TWO} comes back empty, and gets etcd from {ONE}, {THREE}")
    world.empty_disks.add(THREE)
    codes = refused_with(lambda: admit_members(ctx, made, look(ctx)))
    assert codes == {"KNOWLEDGE_STORE_DEAD"}, "one of three is left: nothing may be written"


def site_as(version: str) -> Site:
    values = SITE.model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"]["version"] = version
    return Site.model_validate(values)


def test_a_version_before_the_one_that_was_whole_is_refused_a_later_one_is_not(
    tmp_path: Path,
) -> None:
    older = World.of(site_as("2.3.4"))
    ctx = context(tmp_path / "state", older)
    ctx.store.remember(FOUNDED, {"version": "2.3.5"})
    made = plan_of(ctx)
    assert refused_with(lambda: admit_members(ctx, made, look(ctx))) == {"KNOWLEDGE_DOWNGRADE"}
    ctx.store.remember(FOUNDED, {"version": "2.3.4"})
    assert admit_members(ctx, made, look(ctx)) == ()
    newer = context(tmp_path / "state", World.of(site_as("2.3.5")))
    assert admit_members(newer, made, look(newer)) == ()


def test_another_object_store_is_refused_once_the_cluster_has_written(ctx: Context) -> None:
    made = plan_of(ctx)
    ctx.store.remember(
        FOUNDED, {"version": "2.3.5"}
    )  # by a release that knew the bundled one only
    assert admit_members(ctx, made, look(ctx)) == ()
    ctx.store.remember(FOUNDED, {"version": "2.3.5", "object_store": "https://s3.example.net/k"})
    assert refused_with(lambda: admit_members(ctx, made, look(ctx))) == {"KNOWLEDGE_STORE_MOVED"}


def test_an_external_store_that_is_dead_stops_what_touches_members_and_nothing_else(
    tmp_path: Path,
) -> None:
    values = SITE.model_dump(mode="json", by_alias=True)
    wanted = golden_site("narvik").model_dump(mode="json", by_alias=True)["knowledge"]
    world = World.of(Site.model_validate({**values, "knowledge": wanted}))
    ctx = context(tmp_path / "state", world)
    ctx.store.record_placement(make_plan(ctx).placement)
    dead = Problem("OBJECT_STORE_UNREACHABLE", "it is silent", "here", "bring it back")
    ctx.object_store = lambda: (dead,)
    world.machines["lab-chat-01"].is_on = False
    assert "power-on" in {s.kind for s in make_plan(ctx).steps}
    world.machines[ONE].is_on = False
    assert refused_with(lambda: make_plan(ctx)) == {dead.code}
    assert world.effects == []
    ctx.object_store = tuple
    assert ONE in {s.target for s in make_plan(ctx).steps}


@pytest.mark.parametrize("key", ["etcd_tls", "queue_tls", "object_store_tls"])
def test_stores_keep_speaking_as_they_were_made(ctx: Context, tmp_path: Path, key: str) -> None:
    code = f"KNOWLEDGE_{key.upper()}_CHANGED"
    made = plan_of(ctx)
    ctx.store.remember(FOUNDED, {"version": "2.3.5", key: True})
    assert refused_with(lambda: admit_members(ctx, made, look(ctx))) == {code}
    values = SITE.model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"][key] = True
    encrypted = context(tmp_path / "state", World.of(Site.model_validate(values)))
    assert admit_members(encrypted, made, look(encrypted)) == ()
    encrypted.store.remember(FOUNDED, {"version": "2.3.5"})
    found = refused_with(lambda: admit_members(encrypted, made, look(encrypted)))
    assert found == {code}


def test_a_full_disk_and_a_dead_object_store_stop_a_change_of_members_and_nothing_else(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    changes = plan_of(ctx, ("converge", ONE))
    others = plan_of(ctx, ("converge", "lab-chat-01"))
    enlarges = plan_of(ctx, ("update-vm", TWO), ("converge", TWO))
    real = FakeVectorStore.state

    def full(self: FakeVectorStore, member: str) -> object:
        told = real(self, member)
        return replace(told, disk_free_mib=100, disk_mib=200_000) if member == TWO else told

    monkeypatch.setattr(FakeVectorStore, "state", full)
    assert refused_with(lambda: admit_members(ctx, changes, look(ctx))) == {"KNOWLEDGE_DISK_FULL"}
    assert admit_members(ctx, others, look(ctx)) == ()
    assert admit_members(ctx, enlarges, look(ctx)) == ()
    dead = lambda self, member: replace(real(self, member), store_is_writable=False)  # noqa: E731
    monkeypatch.setattr(FakeVectorStore, "state", dead)
    assert refused_with(lambda: admit_members(ctx, changes, look(ctx))) == {"KNOWLEDGE_STORE_DEAD"}
    with pytest.raises(Refused, match="all but one must run"):
        admit_members(ctx, changes, look(ctx))


def test_somebody_elses_cluster_stops_every_deployment(ctx: Context, world: World) -> None:
    world.owner = "lab-somebody"
    made = plan_of(ctx)
    assert refused_with(lambda: admit_members(ctx, made, look(ctx))) == {"KNOWLEDGE_NAME_TAKEN"}
