"""A replica's certificate runs out in the midst of an operation: it alone is renewed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.cli import deployment
from permafrost.cli.options import Output
from permafrost.engine.runs import RunState
from permafrost.errors import Failed, PermafrostError, Refused
from permafrost.facts import ServerState
from permafrost.planning.lookup import node_named
from permafrost.planning.undisturbed import is_told_for
from permafrost.planning.upgrade_words import Strategy
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_for
from permafrost.runbook.recovery import abort_run, resume_run, run_named
from permafrost.runbook.unfinished import require_node_undisturbed
from permafrost.runbook.upgrade import upgrade
from tests.fakes.killing import KillAt, another_process
from tests.fakes.world import Cut, World
from tests.unit.runbook.chain import receipts
from tests.unit.runbook.test_upgrade_ways import NEW, OLD, WISHES, made, members, way

__all__ = ["way"]

ME = "operator:me"
ONE, TWO = "lab-pulse-01", "lab-pulse-02"
GO_ON = [resume_run, abort_run]


def killed(tmp_path: Path, way: Strategy, moment: int) -> tuple[Context, World, str]:
    """Kill an upgrade half way; return what the next process has, and the operation."""
    ctx, world = made(tmp_path, way)
    ctx.crash = KillAt(moment)
    with pytest.raises(Cut):
        upgrade(ctx, "pulse", NEW, WISHES[way])
    ctx = another_process(ctx, world)
    (run,) = ctx.store.runs.unfinished()
    return ctx, world, run.operation


def held_by(world: World) -> list[tuple[str, ...]]:
    """Return what each replica's slots hold, and how the edges are told."""
    slots = [tuple("".join(world.slot_state(n, s)) for s in "ab") for n in members(world)]
    return [*slots, *(tuple(sorted(told.items())) for told in world.routes.values())]  # type: ignore[list-item]


@pytest.mark.thorough
@pytest.mark.parametrize("go_on", GO_ON)
@pytest.mark.parametrize("moment", range(2, 60, 9))
def test_either_way_out_gets_past_it_afterwards(
    tmp_path: Path, way: Strategy, moment: int, go_on: Callable[[Context, str], object]
) -> None:
    ctx, world, operation = killed(tmp_path, way, moment)
    # The judge of effects knows what we may take away; this was nobody's doing.
    judges, world.watchers = world.watchers, []
    world.expired.add(ONE)
    before, declared, done = held_by(world), ctx.store.declared(), len(world.effects)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        converge_for(ctx, ONE, owner=ME)
    evidence = converge_for(ctx, ONE, owner=ME, renew_certificate=True)
    assert world.effects[done:] == [f"certificate {ONE}"], "nothing is drained, no slot touched"
    assert (held_by(world), ctx.store.declared()) == (before, declared)
    (receipt,) = receipts(ctx)
    assert (receipt["command"], receipt["target"]) == ("converge", ONE)
    assert receipt["evidence"]["notes"] == list(evidence.notes)
    world.watchers = judges
    go_on(ctx, operation)
    end = RunState.DONE if go_on is resume_run else RunState.ABORTED
    assert run_named(ctx, operation).state is end
    assert world.answers("pulse") == {NEW if go_on is resume_run else OLD}
    assert world.serving("pulse") == set(members(world))


def test_neither_gets_past_it_before(tmp_path: Path, way: Strategy) -> None:
    """The control; what stops them names the way on, which is not the whole command."""
    ctx, world, operation = killed(tmp_path, way, 20)
    world.expired.add(ONE)
    for go_on in GO_ON:
        with pytest.raises(PermafrostError):
            go_on(ctx, operation)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        require_node_undisturbed(ctx, "converge", node_named(ctx.site, ONE))


@pytest.mark.parametrize("state", list(ServerState))
def test_of_whom_edges_see_up_it_is_refused(
    tmp_path: Path, way: Strategy, state: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept away is not down; nor is it known what one has that does not say it."""
    ctx, world, _ = killed(tmp_path, way, 20)
    world.edge_state["lab-edge-01", TWO] = state
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        converge_for(ctx, TWO, owner=ME, renew_certificate=True)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        converge_for(ctx, "lab-edge-01", owner=ME, renew_certificate=True)
    world.expired.add(TWO)
    world.power_off(TWO)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        converge_for(ctx, TWO, owner=ME, renew_certificate=True)


def test_without_an_operation_it_is_the_whole_command(tmp_path: Path, way: Strategy) -> None:
    ctx, world = made(tmp_path, way)
    converge_for(ctx, ONE, owner=ME, renew_certificate=True)
    assert f"configure {ONE}" in world.effects
    assert f"certificate {ONE}" not in world.effects


def test_one_that_does_not_help_says_so(tmp_path: Path, way: Strategy) -> None:
    ctx, world, operation = killed(tmp_path, way, 20)
    world.expired.add(ONE)
    ctx.converger.write_certificate = lambda _: None  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(Failed, match="EDGE_SEES_IT_DOWN"):
        converge_for(ctx, ONE, owner=ME, renew_certificate=True)
    assert run_named(ctx, operation).as_dict()["state"] == "paused"


def test_the_command_asks_about_the_certificate_alone(
    tmp_path: Path, way: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, world, _ = killed(tmp_path, way, 20)
    world.expired.add(ONE)
    asked: list[str] = []
    monkeypatch.setattr(deployment, "open_site", lambda _: ctx)
    monkeypatch.setattr(deployment, "confirm", lambda question, _: asked.append(question))
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        deployment.converge(ONE, yes=True, output=Output.JSON)
    deployment.converge(ONE, renew=True, yes=True, output=Output.JSON)
    assert asked == [f"Renew the certificate of {ONE}, and nothing else?"]
    assert ONE not in world.expired


def test_a_hint_at_the_certificate_is_none_at_the_whole_command() -> None:
    def told(hint: str) -> bool:
        return is_told_for({"path": ONE, "hint": hint}, "converge", ONE)

    assert not told(f"`permafrost converge {ONE} --renew-certificate`")
    assert told(f"`permafrost converge {ONE} --renew-certificate`, or `permafrost converge {ONE}`")
    assert told("`permafrost converge` writes it anew")
