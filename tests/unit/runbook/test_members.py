"""Members of the knowledge tier go and come back, killed on the way: it answers throughout."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from permafrost.errors import Failed, Refused
from permafrost.planning.knowledge import members
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.maintenance import enter, leave, preview_enter
from permafrost.runbook.recovery import abort_run, resume_run
from permafrost.runbook.status import read_status
from permafrost.site.model import Site
from tests.fakes.killing import KillAt, another_process
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.site import document, placed_context
from tests.fakes.world import Cut, World

ME = "operator:me"
MOMENTS = 60
KNOWLEDGE = Path(__file__).parents[2] / "golden" / "ansible" / "knowledge.yaml"


def site_with_knowledge() -> Site:
    values = document()
    values["knowledge"] = yaml.safe_load(KNOWLEDGE.read_text(encoding="utf-8"))["knowledge"]
    values["edge"] = {**values.get("edge", {}), "nodes": 2, "vip": "10.64.1.10"}
    return Site.model_validate(values)


@pytest.fixture
def world() -> World:
    world = World.of(site_with_knowledge())
    world.etcd_leader = "lab-knowledge-01"
    world.watchers.append(lambda what, target: judge(world, what, target))
    return world


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


def judge(world: World, what: str, target: str) -> None:
    """At every effect somebody answers right; who goes off serves nothing and leads nothing."""
    tier = FakeVectorStore(world)
    doors = [n.name for n in members(world.site)]
    assert any(tier.canaries(door).is_right for door in doors), f"{what} {target}"
    if what == "shut-down" and "knowledge" in target:
        assert target in world.handed_over
        assert tier.leader() != target


def host_of(world: World, name: str) -> str:
    return world.machines[name].host


def there_and_back(ctx: Context, host: str) -> None:
    enter(ctx, host, owner=ME)
    leave(ctx, host, owner=ME)


def test_a_member_gives_away_goes_comes_back_and_the_tier_is_whole(
    ctx: Context, world: World
) -> None:
    host = host_of(world, "lab-knowledge-01")
    made = preview_enter(ctx, host, owner=ME)
    steps = [(s.kind, s.target) for s in made.steps]
    at = steps.index(("hand-over", "lab-knowledge-01"))
    assert steps[at + 1 : at + 3] == [
        ("shut-down", "lab-knowledge-01"),
        ("await-tier", "lab-knowledge-01"),
    ]
    enter(ctx, host, owner=ME)
    assert world.hosts[host].in_maintenance
    assert not any(m.is_on for m in world.machines.values() if m.host == host)
    assert read_knowledge(ctx, away=("lab-knowledge-01",)).is_ready
    leave(ctx, host, owner=ME)
    assert read_knowledge(ctx).is_ready
    assert world.machines["lab-knowledge-01"].is_on


def test_the_status_draws_members_on_their_hosts(ctx: Context, world: World) -> None:
    hosts = {host.name: host for host in read_status(ctx).hosts}
    assert {world.machines[f"lab-knowledge-0{i}"].host for i in (1, 2, 3)} == set(hosts)
    assert [host.keeps["knowledge"] for host in hosts.values()] == [2, 2, 2]


def test_a_second_member_stays_while_the_first_is_away(ctx: Context, world: World) -> None:
    enter(ctx, host_of(world, "lab-knowledge-01"), owner=ME)
    with pytest.raises(Refused) as refused:
        enter(ctx, host_of(world, "lab-knowledge-02"), owner=ME)
    assert {"OTHER_MAINTENANCE", "KNOWLEDGE_NOT_WHOLE"} <= {p.code for p in refused.value.problems}


def test_a_member_waits_while_the_others_do_not_answer_right(ctx: Context, world: World) -> None:
    host = host_of(world, "lab-knowledge-01")
    made = preview_enter(ctx, host, owner=ME)
    world.handed_over.add("lab-knowledge-02")
    world.watchers.clear()
    with pytest.raises((Failed, Refused)) as refused:
        enter(ctx, host, owner=ME, shown=made.fingerprint)
    assert world.machines["lab-knowledge-01"].is_on
    assert "lab-knowledge-01" not in world.handed_over
    assert {p.code for p in refused.value.problems} == {"KNOWLEDGE_NOT_WHOLE"}


@pytest.mark.parametrize("recover", [resume_run, abort_run])
@pytest.mark.parametrize("moment", range(0, MOMENTS, 7))
def test_killed_on_the_way_it_is_finished_or_taken_back(
    ctx: Context, world: World, moment: int, recover: object
) -> None:
    host = host_of(world, "lab-knowledge-01")
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        there_and_back(ctx, host)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    assert callable(recover)
    recover(after, run.operation)
    is_entering = run.plan.command == "maintenance enter"
    if (recover is resume_run) == is_entering:
        assert not world.machines["lab-knowledge-01"].is_on
        assert read_knowledge(after, away=("lab-knowledge-01",)).is_ready
        leave(after, host, owner=ME)
    assert read_knowledge(after).is_ready
    assert not world.hosts[host].in_maintenance
