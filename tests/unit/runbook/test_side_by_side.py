"""What is asked before an operation, and before an effect, is asked at the same time.

A port answers only once the other one is asked too: who asks them one after the other waits in
vain, and the barrier breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import pytest

from permafrost.engine import runs
from permafrost.facts import ServerState, Traffic
from permafrost.planning.drain import DrainStep
from permafrost.planning.steps import OperationStep
from permafrost.planning.upgrade import Wish
from permafrost.runbook import maintenance
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica, preview_drain
from permafrost.runbook.looking import FRESH_S, look, look_at_edges, look_to_drain
from permafrost.runbook.steps_replica import SetEdgesToDrain, SetEdgesToReady
from permafrost.runbook.steps_slot import AwaitSlotUp, ProveSlot
from permafrost.runbook.undrain import undrain_replica
from permafrost.runbook.unfinished import latest_on_slots
from permafrost.runbook.upgrade import rollback, upgrade
from permafrost.topology import nodes
from tests.fakes.site import placed_context
from tests.fakes.world import World
from tests.unit.runbook.test_members import site_with_knowledge

ME, HOST, REPLICA = "operator:me", "lab-esx-01", "lab-pulse-01"
NEW = "sha256:" + "d" * 64
TOGETHER_S = 10.0


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


class Meeting:
    """A port of which one method first answers only once another port's is asked too."""

    def __init__(self, port: object, method: str, barrier: Barrier) -> None:
        self._port, self._method, self._barrier = port, method, barrier
        self._first = Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name != self._method:
            return found

        def meet(*given: object) -> object:
            if self._first.acquire(blocking=False):
                self._barrier.wait(TOGETHER_S)
            return found(*given)

        return meet


def meeting(ctx: Context, monkeypatch: pytest.MonkeyPatch, **methods: str) -> None:
    barrier = Barrier(len(methods))
    for port, method in methods.items():
        monkeypatch.setattr(ctx, port, Meeting(getattr(ctx, port), method, barrier))


def step_of(ctx: Context, operation: str, kind: str) -> OperationStep:
    run = ctx.store.runs.get(operation)
    assert run is not None
    return next(s for s in run.plan.steps if s.kind == kind)


def test_who_brings_a_host_back_asks_edges_while_vcenter_answers(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance.enter(ctx, HOST, owner=ME)
    meeting(ctx, monkeypatch, hypervisor="observe", traffic="observe")
    assert maintenance.preview_exit(ctx, HOST, owner=ME).steps


def test_the_knowledge_tier_is_asked_while_the_edges_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.of(site_with_knowledge())
    world.etcd_leader = "lab-knowledge-01"
    ctx = placed_context(tmp_path / "knowledge", world)
    meeting(ctx, monkeypatch, knowledge="state", traffic="observe")
    assert maintenance.preview_enter(ctx, HOST, owner=ME).steps


def test_before_a_replica_is_let_in_its_node_and_the_edges_are_asked_together(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain_replica(ctx, REPLICA, owner=ME)
    done = undrain_replica(ctx, REPLICA, owner=ME)
    step = step_of(ctx, done.operation, "set-edges-to-ready")
    meeting(ctx, monkeypatch, models="state", traffic="observe")
    SetEdgesToReady(ctx, step).do()


def test_while_a_slot_is_probed_edges_are_asked_whether_they_see_it_up(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = upgrade(ctx, "pulse", NEW, Wish(ME))
    meeting(ctx, monkeypatch, models="probe", traffic="observe")
    ProveSlot(ctx, step_of(ctx, done.operation, "prove-slot"), done.operation).do()


def test_a_slot_that_edges_saw_down_or_a_while_ago_is_asked_about_anew(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = upgrade(ctx, "pulse", NEW, Wish(ME))
    up = AwaitSlotUp(ctx, step_of(ctx, done.operation, "await-slot-up"), done.operation)
    look_at_edges(ctx)
    asked: list[object] = []
    observe = ctx.traffic.observe
    monkeypatch.setattr(ctx.traffic, "observe", lambda: asked.append(1) or observe())
    assert up.already() is not None
    assert not asked, "they saw it up a moment ago"
    ctx.looked = (ctx.clock.monotonic(), Traffic())
    assert up.already() is not None
    assert len(asked) == 1
    look_at_edges(ctx)
    ctx.clock.sleep(FRESH_S + 1)
    assert up.already() is not None
    assert len(asked) == 3


@pytest.fixture
def draining(ctx: Context) -> SetEdgesToDrain:
    """The step that tells the edges, of a replica that is back since."""
    done = drain_replica(ctx, REPLICA, owner=ME)
    undrain_replica(ctx, REPLICA, owner=ME)
    return SetEdgesToDrain(ctx, step_of(ctx, done.operation, DrainStep.SET_EDGES))


def test_a_replica_that_was_kept_away_a_moment_ago_is_not_taken_for_drained(
    ctx: Context, draining: SetEdgesToDrain
) -> None:
    ctx.traffic.set_state(REPLICA, ServerState.DRAIN)
    look(ctx)
    assert draining.already() is not None
    ctx.traffic.set_state(REPLICA, ServerState.READY)  # by somebody else
    assert draining.already() is None


def test_edges_are_asked_again_once_the_last_look_is_old(
    ctx: Context, draining: SetEdgesToDrain
) -> None:
    node = next(n for n in nodes(ctx.site) if n.name == REPLICA)
    look_to_drain(ctx, node)
    ctx.traffic.set_state(REPLICA, ServerState.DRAIN)
    assert draining.already() is None, "they were just asked: it is set once more"
    ctx.clock.sleep(FRESH_S + 1)
    assert draining.already() is not None


def test_streams_are_counted_for_who_looks_at_the_plan(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx.clock.sleep(1)
    asked: list[str] = []
    monkeypatch.setattr(ctx.traffic, "streams", lambda name, **_: asked.append(name) or ())
    made, _ = preview_drain(ctx, REPLICA, owner=ME)
    assert made.in_flight, "the control: something is open there"
    assert asked == [REPLICA]
    preview_drain(ctx, REPLICA, owner=ME, is_shown=False)
    assert asked == [REPLICA]


def test_of_a_long_history_only_the_latest_on_an_endpoint_is_read(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(ctx, "pulse", NEW, Wish(ME))
    latest = rollback(ctx, "pulse", owner=ME).operation
    drain_replica(ctx, REPLICA, owner=ME)
    read: list[object] = []
    plan_of: Callable[[Any], Any] = runs.plan_of
    monkeypatch.setattr(runs, "plan_of", lambda plan: read.append(plan) or plan_of(plan))
    found = latest_on_slots(ctx, "pulse")
    assert found is not None
    assert found.operation == latest
    assert len(read) == 1
