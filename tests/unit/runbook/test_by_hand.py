"""A node that a person has configured leaves one receipt in the chain, killed anywhere or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.engine.state import DeclaredState
from permafrost.errors import Failed, Refused
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_for, converge_node
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.history import history, show
from permafrost.site.model import Site
from tests.fakes.killing import another_process, is_cut_at_commit, is_cut_at_effect
from tests.fakes.site import context, registry_site, small_site
from tests.fakes.world import World
from tests.unit.runbook.chain import lines, parts, receipts, require_announced

ME = "operator:me"
ONE, TWO, EDGE, REGISTRY = "lab-chat-01", "lab-chat-02", "lab-edge-01", "lab-registry-01"


def test_a_replica_s_receipt_tells_its_drain_its_tasks_and_its_admission(ctx: Context) -> None:
    evidence = converge_for(ctx, ONE, owner=ME)
    (receipt,) = receipts(ctx)
    assert (receipt["command"], receipt["target"], receipt["owner"]) == ("converge", ONE, ME)
    assert (receipt["state"], receipt["environment"]) == ("done", "lab")
    assert receipt["started_at"] <= receipt["finished_at"]
    assert receipt["before"]["was"] == "ADMITTED"
    assert lines(receipt) == ["01 converge INTENT", "01 converge DONE"]
    assert parts(receipt) == [
        f"drain {ONE} by converge: DONE",
        f"undrain {ONE} by converge: DONE",
    ]
    assert receipt["parts"][0]["steps"][0]["kind"] == "declare-draining"
    assert receipt["evidence"]["tasks"] == ["install it"]
    assert receipt["evidence"]["drained"] is True
    assert receipt["requests"]["failed"] == 0
    told = show(ctx, evidence.operation)
    assert (told["command"], told["state"], told["owner"]) == (f"converge {ONE}", "done", ME)
    assert told["receipt"] == evidence.receipt
    assert json.loads(Path(evidence.receipt).read_text(encoding="utf-8")) == receipt
    assert history(ctx, 10)[-1]["receipt"] == evidence.receipt


@pytest.mark.parametrize(
    ("site", "node"), [(small_site(), EDGE), (registry_site(), REGISTRY)], ids=["edge", "registry"]
)
def test_a_node_without_a_model_has_one_too(tmp_path: Path, site: Site, node: str) -> None:
    ctx = context(tmp_path / "state", World.of(site))
    converge_for(ctx, node, owner=ME)
    (receipt,) = receipts(ctx)
    assert (receipt["target"], receipt["evidence"]["changed"], parts(receipt)) == (node, 1, [])


def test_what_is_refused_or_fails_leaves_none(ctx: Context, world: World) -> None:
    drain_replica(ctx, TWO, owner="test", reason="away")
    with pytest.raises(Refused):
        converge_for(ctx, ONE, owner=ME)
    world.machines[EDGE].is_on = False
    with pytest.raises(Failed):
        converge_for(ctx, EDGE, owner=ME)
    assert receipts(ctx) == []
    assert {o["state"] for o in history(ctx, 2)} == {"failed"}


def test_a_deployment_has_one_that_tells_its_convergences(ctx: Context) -> None:
    execute(ctx, make_plan(ctx))
    made: Any = ctx.provisioner
    made.changes = (Change("update", "pulumi-python:dynamic/permafrost:Convergence", ONE),)
    made.on_up = lambda: converge_node(ctx, ONE, vm="another", fingerprint="another")
    execute(ctx, make_plan(ctx))
    _, receipt = receipts(ctx)
    assert receipt["command"] == "deploy"
    assert parts(receipt) == [
        f"drain {ONE} by pulumi: DONE",
        f"converge {ONE} by pulumi: DONE",
        f"undrain {ONE} by pulumi: DONE",
    ]


def test_a_typed_up_has_none(ctx: Context) -> None:
    converge_node(ctx, ONE, vm="another", fingerprint="another")
    assert receipts(ctx) == []


@pytest.mark.parametrize("node", [ONE, EDGE])
def test_killed_around_an_effect_the_same_command_ends_it(tmp_path: Path, node: str) -> None:
    for moment in range(20):
        world = World.of(small_site())
        ctx = context(tmp_path / str(moment) / "state", world)
        if not is_cut_at_effect(world, moment, lambda ctx=ctx: converge_for(ctx, node, owner=ME)):  # type: ignore[misc]
            break
        require_ended_by_another(ctx, world, node)
    assert moment == (8 if node == ONE else 2)


@pytest.mark.exhaustive(4)
@pytest.mark.parametrize("part", range(16))
def test_killed_before_a_durable_write_the_same_command_ends_it(tmp_path: Path, part: int) -> None:
    for moment in range(part, 1000, 16):
        world = World.of(small_site())
        ctx = context(tmp_path / str(moment) / "state", world)
        if not is_cut_at_commit(ctx, moment, lambda ctx=ctx: converge_for(ctx, ONE, owner=ME)):  # type: ignore[misc]
            break
        require_ended_by_another(ctx, world, ONE)
    assert moment > 16


def require_ended_by_another(ctx: Context, world: World, node: str) -> None:
    """The next process ends it: its receipt is the last; what was cut has one at most."""
    after = another_process(ctx, world)
    require_announced(after)
    done = converge_for(after, node, owner=ME)
    found = receipts(after)
    assert found[-1]["operation"] == done.operation
    assert len(found) <= 2
    assert world.takes_requests(ONE)
    assert after.store.declared()[ONE].state is DeclaredState.ADMITTED
