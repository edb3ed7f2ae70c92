"""How often a runbook asks the world: each question of a machine is a connection and a process.

An upper bound for each command on fakes of the ports, so that nobody adds a question for each
replica or each step without seeing it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from permafrost.engine.executor import Executor
from permafrost.planning.steps import OperationStep
from permafrost.planning.upgrade import Wish
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.undrain import undrain_replica
from permafrost.runbook.upgrade import rollback, upgrade
from tests.fakes.site import placed_context
from tests.fakes.world import World

ME, HOST, REPLICA = "operator:me", "lab-esx-01", "lab-pulse-01"
NEW = "sha256:" + "d" * 64
QUESTIONS = {
    "traffic": ("observe", "streams", "set_state", "set_routes"),
    "models": ("state", "probe"),
    "hypervisor": ("observe",),
}


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    return placed_context(tmp_path / "state", world)


class Counted:
    """A port that counts what it is asked, under the kind of the step that is being done."""

    def __init__(self, port: object, name: str, note: Callable[[str], None]) -> None:
        self._port, self._name, self._note = port, name, note

    def __getattr__(self, method: str) -> Any:
        if method in QUESTIONS[self._name]:
            self._note(f"{self._name}.{method}")
        return getattr(self._port, method)


@contextmanager
def counted(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Counter[str]]]:
    """Give what was asked, by the kind of step; what no step asked is under ``plan``."""
    seen: dict[str, Counter[str]] = {}
    doing = ["plan"]

    def note(question: str) -> None:
        seen.setdefault(doing[0], Counter())[question] += 1

    def step(self: Executor, step: OperationStep, action: Any) -> Any:
        doing[0] = step.kind
        try:
            return done(self, step, action)
        finally:
            doing[0] = "plan"

    done = Executor._step
    monkeypatch.setattr(Executor, "_step", step)
    for name in QUESTIONS:
        monkeypatch.setattr(ctx, name, Counted(getattr(ctx, name), name, note))
    yield seen
    monkeypatch.undo()


def at_most(seen: Counter[str], **bounds: int) -> None:
    named = {question.replace("__", "."): bound for question, bound in bounds.items()}
    over = {q: n for q, n in seen.items() if n > named.get(q, 0)}
    assert not over, f"asked {over}, the bounds are {named}"


def test_a_drain(ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.rate_per_tick = 0  # idle at the first look: each further one is a wait's, and no step's
    with counted(ctx, monkeypatch) as seen:
        drain_replica(ctx, REPLICA, owner=ME)
    # Every replica is looked at once; then the edges alone say whether it may go. What they said
    # as the turn was taken tells that they are still to be told: before that they are asked anew.
    at_most(seen["plan"], traffic__observe=1, models__state=3, hypervisor__observe=1)
    at_most(seen["declare-draining"], traffic__observe=1)
    at_most(seen["set-edges-to-drain"], traffic__observe=1, traffic__set_state=1)
    at_most(seen["await-idle"], traffic__observe=1, models__state=1)
    assert seen["set-edges-to-drain"]["traffic.set_state"] == 1
    assert "declare-drained" not in seen


def test_an_admission(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    drain_replica(ctx, REPLICA, owner=ME)
    with counted(ctx, monkeypatch) as seen:
        undrain_replica(ctx, REPLICA, owner=ME)
    at_most(seen["plan"], traffic__observe=1, models__state=3, hypervisor__observe=1)
    at_most(seen["await-answer"], models__state=1)
    at_most(seen["prove"], models__probe=1)
    at_most(seen["set-edges-to-ready"], models__state=1, traffic__observe=1, traffic__set_state=1)
    at_most(seen["await-up"], traffic__observe=1)
    assert "declare-admitted" not in seen


def test_a_maintenance(ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.rate_per_tick = 0
    with counted(ctx, monkeypatch) as seen:
        enter(ctx, HOST, owner=ME)
        powered = sum(not m.is_on for m in world.machines.values())
        entered = seen.pop("plan")
        leave(ctx, HOST, owner=ME)
    # What edges had counted is what was seen for the plan; on the way out the last step saw them.
    at_most(entered, traffic__observe=2, models__state=6, hypervisor__observe=1)
    at_most(seen["plan"], traffic__observe=1, hypervisor__observe=1)
    assert powered == 2
    # vCenter before and after each power operation; edges and server before a guest goes off.
    at_most(
        seen["shut-down"],
        hypervisor__observe=2 * powered,
        traffic__observe=2 * powered,
        models__state=powered,
    )
    at_most(seen["power-on"], hypervisor__observe=2 * powered)
    at_most(seen["enter-maintenance-mode"], hypervisor__observe=2)
    at_most(seen["exit-maintenance-mode"], hypervisor__observe=1)
    assert not {"record-maintenance", "forget-maintenance"} & seen.keys()


def test_an_upgrade_side_by_side(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(ctx, monkeypatch) as seen:
        upgrade(ctx, "pulse", NEW, Wish(ME))
    # Of the nodes only those of the endpoint are asked; what edges counted the last step knows.
    at_most(seen["plan"], traffic__observe=1, models__state=3, hypervisor__observe=1)
    at_most(seen["record-release"], traffic__observe=1, traffic__set_routes=1)
    # Edges are asked while a slot is probed; that they see it up is known then.
    at_most(seen["prove-slot"], models__probe=3, traffic__observe=3)
    assert "await-slot-up" not in seen
    # vCenter tells nothing of slots.
    at_most(seen["cut-over"], traffic__observe=1, models__state=3, traffic__set_routes=1)
    assert seen["cut-over"]["traffic.set_routes"] == 1


def test_a_way_back(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(ctx, "pulse", NEW, Wish(ME))
    with counted(ctx, monkeypatch) as seen:
        rollback(ctx, "pulse", owner=ME)
    at_most(seen["plan"], traffic__observe=1, models__state=3, hypervisor__observe=1)
    at_most(seen["cut-over"], traffic__observe=1, models__state=3, traffic__set_routes=1)


def test_the_bounds_see_one_question_more() -> None:
    with pytest.raises(AssertionError, match=r"models\.state"):
        at_most(Counter({"models.state": 4}), models__state=3)
