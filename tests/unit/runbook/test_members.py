"""Members of the knowledge tier go and come back, killed on the way: it answers throughout."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from permafrost.cli.render_knowledge import show_knowledge
from permafrost.engine.runs import Run
from permafrost.errors import Failed, Problem, Refused
from permafrost.planning.knowledge import members
from permafrost.planning.query_replicas import QueryNode
from permafrost.runbook import steps_member
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.maintenance import enter, leave, preview_enter
from permafrost.runbook.member_drain import drain_member
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


def cut_on_the_way(ctx: Context, world: World, moment: int, host: str) -> tuple[Context, Run]:
    """Kill the process at a moment; return the next one, and what the first left unfinished."""
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        there_and_back(ctx, host)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    return after, run


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


@pytest.mark.thorough
@pytest.mark.parametrize("recover", [resume_run, abort_run])
@pytest.mark.parametrize("moment", range(0, MOMENTS, 7))
def test_killed_on_the_way_it_is_finished_or_taken_back(
    ctx: Context, world: World, moment: int, recover: object
) -> None:
    host = host_of(world, "lab-knowledge-01")
    after, run = cut_on_the_way(ctx, world, moment, host)
    assert callable(recover)
    recover(after, run.operation)
    is_entering = run.plan.command == "maintenance enter"
    if (recover is resume_run) == is_entering:
        assert not world.machines["lab-knowledge-01"].is_on
        assert read_knowledge(after, away=("lab-knowledge-01",)).is_ready
        leave(after, host, owner=ME)
    assert read_knowledge(after).is_ready
    assert not world.hosts[host].in_maintenance


TWO, THREE = "lab-knowledge-02", "lab-knowledge-03"


def of(member: str) -> tuple[QueryNode, QueryNode]:
    return QueryNode(member, "milvus-query-1"), QueryNode(member, "milvus-query-2")


def align(world: World) -> None:
    """Each member's query nodes are all that one replica has; in another collection they are not.

    So it was found on a lab: Milvus draws lots when a collection is loaded. No member has a spare
    query node, as of a configuration of before there were any.
    """
    world.query.has_spares = False
    FakeVectorStore(world).query_nodes()
    world.query.load("docs", of(TWO), of(THREE))
    world.query.load("mixed", (of(TWO)[0], of(THREE)[0]), (of(TWO)[1], of(THREE)[1]))
    world.witnesses.append(lambda *_: somebody_has_each_collection(world))


def somebody_has_each_collection(world: World) -> None:
    assert all(any(replicas) for replicas in world.query.has.values())


def restarts(world: World) -> list[str]:
    return [e.removeprefix("restart ") for e in world.effects if e.startswith("restart ")]


@pytest.mark.parametrize("name", [TWO, THREE])
def test_a_replica_that_has_its_nodes_on_one_member_gets_another_one_when_that_member_goes(
    ctx: Context, world: World, name: str
) -> None:
    align(world)
    done = enter(ctx, host_of(world, name), owner=ME)
    (restarted,) = restarts(world)
    stays = TWO if name == THREE else THREE
    assert restarted == f"{stays} milvus-query-1"
    (evidence,) = [r.evidence for r in done.results if r.step.kind == "hand-over"]
    assert evidence["restarted"] == [
        f"{stays}: milvus-query-1 restarted, no query node had replica "
        f"docs-{int(name == THREE)} of collection docs"
    ]
    assert world.query.percent() == {"docs": 100, "mixed": 100}
    leave(ctx, host_of(world, name), owner=ME)
    assert read_knowledge(ctx).is_ready
    numbers = {number: node.member for node, number in world.query.numbers.items()}
    for replicas in world.query.has.values():
        assert [{numbers[n] for n in r} for r in replicas] == [{TWO, THREE}, {TWO, THREE}]
    world.effects.clear()
    node = next(n for n in members(world.site) if n.name == stays)
    drain_member(ctx, node, owner=ME)
    assert f"hand-over {stays}" in world.effects
    assert restarts(world) == [], "replicas that span two members lose no member's all"


def test_the_status_notes_replicas_that_stand_on_one_member(ctx: Context, world: World) -> None:
    align(world)
    seen = read_knowledge(ctx)
    assert seen.is_ready
    assert [(r["replica"], r["members"]) for r in seen.as_dict()["replicas"]] == [
        ("docs-0", [TWO]),
        ("docs-1", [THREE]),
        ("mixed-0", [TWO, THREE]),
        ("mixed-1", [TWO, THREE]),
    ]
    text = io.StringIO()
    show_knowledge(seen, Console(file=text, width=200))
    notes = [line for line in text.getvalue().splitlines() if "note: replica" in line]
    assert [f"replica docs-{i}" in notes[i] for i in (0, 1)] == [True, True]
    assert len(notes) == 2
    world.handed_over.add(TWO)
    assert read_knowledge(ctx, mending=(TWO,)).on_one_member == (), "nobody else has any"


def test_without_it_the_others_never_become_whole(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: and what is said names the replica that has no node."""
    align(world)
    monkeypatch.setattr(steps_member, "fill_replicas", lambda *_, **__: ())
    with pytest.raises(Failed) as failed:
        enter(ctx, host_of(world, THREE), owner=ME)
    assert [p.message for p in failed.value.problems] == [
        "collection docs is loaded to 50 %",
        "replica docs-1 of collection docs has no query node",
    ]


def test_a_node_that_does_not_restart_is_told(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    align(world)

    def refuse(*_: object, **__: object) -> None:
        raise Failed(Problem("KNOWLEDGE_NOT_MOVED", "systemctl ended with 1", TWO))

    monkeypatch.setattr(FakeVectorStore, "restart", refuse)
    with pytest.raises(Failed, match="systemctl ended with 1"):
        enter(ctx, host_of(world, THREE), owner=ME)
    assert world.machines[THREE].is_on


def test_nothing_is_restarted_while_milvus_has_not_noted_who_runs(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node without a place may be about to join the replica that has none."""
    align(world)
    world.query.load("elsewhere", (of(TWO)[0],), (of(THREE)[0],))
    with pytest.raises(Failed, match="has no query node"):
        enter(ctx, host_of(world, THREE), owner=ME)
    assert restarts(world) == []


class Killed:
    """The process is killed at its n-th effect or look at whether it may go on."""

    def __init__(self, ctx: Context, world: World, left: int) -> None:
        self.left, self._guard = left, ctx.guard
        world.watchers.append(self.count)
        world.witnesses.append(self.count)

    def count(self, *_: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cut

    def __call__(self) -> None:
        self.count()
        self._guard()


@pytest.mark.thorough
@pytest.mark.parametrize("recover", [resume_run, abort_run])
@pytest.mark.parametrize("name", [TWO, THREE])
@pytest.mark.parametrize("what", ["hand-over", "restart"])
@pytest.mark.parametrize("later", [0, 1, 2, 4, 8])
def test_killed_around_the_restart_it_is_finished_or_taken_back(
    ctx: Context, world: World, name: str, what: str, later: int, recover: object
) -> None:
    align(world)
    host = host_of(world, name)

    def arm(done: str, target: str) -> None:
        if done == what and name in (target, THREE if TWO in target else TWO):
            world.witnesses.remove(arm)
            if later == 0:
                raise Cut
            killed = Killed(ctx, world, later)
            ctx.guard = killed  # type: ignore[method-assign]

    world.witnesses.append(arm)
    with pytest.raises(Cut):
        enter(ctx, host, owner=ME)
    after = another_process(ctx, world)
    (run,) = after.store.runs.unfinished()
    assert callable(recover)
    recover(after, run.operation)
    if recover is resume_run:
        assert read_knowledge(after, away=(name,)).is_ready
        leave(after, host, owner=ME)
    assert read_knowledge(after).is_ready
    assert len(restarts(world)) <= 2


def homes_of_leaders(world: World) -> set[frozenset[str]]:
    """Return for each channel the members that lead it."""
    nodes = {number: node.member for node, number in world.query.numbers.items()}
    channels = world.query.leaders().values()
    return {frozenset(nodes[n] for n in of) for led in channels for of in led.values()}


@pytest.mark.thorough
@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_leaders_are_spread_again_once_a_member_is_back(
    ctx: Context, world: World, moment: int
) -> None:
    """All stand on the one that stayed; killed at any moment, the next one does the rest."""
    read_knowledge(ctx)
    host = host_of(world, "lab-knowledge-02")
    enter(ctx, host, owner=ME)
    assert homes_of_leaders(world) == {frozenset({"lab-knowledge-03"})}, "the control"
    if moment == 0:
        left = leave(ctx, host, owner=ME)
        (back,) = [r for r in left.results if r.step.kind == "await-member"]
        assert len(restarts(world)) == 1
        assert "leaders stood on one member alone" in str(back.evidence)
    else:
        world.cut_in = moment - 1
        try:
            leave(ctx, host, owner=ME)
        except Cut:
            after = another_process(ctx, world)
            (run,) = after.store.runs.unfinished()
            resume_run(after, run.operation)
    assert homes_of_leaders(world) == {frozenset({"lab-knowledge-02", "lab-knowledge-03"})}
    assert read_knowledge(ctx).led_on_one_member == ()
    assert read_knowledge(ctx).exposed == ()


def test_a_restart_that_spreads_nothing_is_not_tried_again(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus gave what it led to another node than was assumed."""
    read_knowledge(ctx)
    host = host_of(world, "lab-knowledge-02")
    enter(ctx, host, owner=ME)
    asked: list[str] = []
    monkeypatch.setattr(FakeVectorStore, "restart", lambda *told, **_: asked.append(told[2]))
    leave(ctx, host, owner=ME)
    assert len(asked) == 1
    assert homes_of_leaders(world) == {frozenset({"lab-knowledge-03"})}


def test_a_proxy_that_does_not_know_who_leads_keeps_the_tier_from_being_ready(
    ctx: Context, world: World
) -> None:
    world.unsettled.add("lab-knowledge-01")
    (lack,) = read_knowledge(ctx).problems
    assert lack.member == "lab-knowledge-01"
    assert "does not know the query nodes that lead" in lack.message
    assert not read_knowledge(ctx, mending=("lab-knowledge-01",)).problems
