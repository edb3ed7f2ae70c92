"""Where nobody is asked, a plan is made once, while the site is held, and carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from permafrost.cli import changing, replicas
from permafrost.cli.options import Output
from permafrost.errors import Problem, Refused
from permafrost.planning.steps import OperationPlan
from permafrost.runbook.context import Context
from permafrost.runbook.maintenance import enter, preview_enter
from tests.fakes.killing import another_process
from tests.fakes.site import placed_context, small_site
from tests.fakes.world import Cut, World

HOST, ME = "lab-esx-01", "operator:me"
ASKED = changing.Asked(None, yes=True, plan_only=False, output=Output.JSON)


@pytest.fixture
def world() -> World:
    return World.of(small_site())


@pytest.fixture
def ctx(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Context:
    made = placed_context(tmp_path / "state", world)
    for module in (changing, replicas):
        monkeypatch.setattr(module, "open_site", lambda _: made)
    return made


def never(*_: Any) -> NoReturn:
    raise AssertionError("it was planned a second time")


def test_a_command_with_a_plan(ctx: Context, world: World) -> None:
    tokens = []

    def preview(ctx: Context, host: str) -> OperationPlan:
        tokens.append(ctx.lock_token)
        return preview_enter(ctx, host, owner=ME)

    made = changing.change("maintenance enter", HOST, ASKED, preview, never)
    assert made is not None
    assert made[1].operation
    assert len(tokens) == 1
    assert tokens[0], "the site was not held"
    assert world.hosts[HOST].in_maintenance
    assert ctx.store.lock.holder() is None


def test_a_plan_that_is_refused_leaves_what_was_interrupted_to_be_resumed(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.cut_in = 2
    with pytest.raises(Cut):
        enter(ctx, HOST, owner=ME)
    after = another_process(ctx, world)
    monkeypatch.setattr(changing, "open_site", lambda _: after)

    def refuses(*_: Any) -> NoReturn:
        raise Refused(Problem("BELOW_MIN_READY", "too few"))

    with pytest.raises(Refused, match="BELOW_MIN_READY"):
        changing.change("maintenance enter", HOST, ASKED, refuses, never)
    assert [r.plan.command for r in after.store.runs.unfinished()] == ["maintenance enter"]


def test_a_drain(ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    observe = ctx.hypervisor.observe
    monkeypatch.setattr(ctx.hypervisor, "observe", lambda: looks.append(1) or observe())
    replicas.drain("lab-chat-01", yes=True, output=Output.JSON)
    assert len(looks) == 1
    assert not world.takes_requests("lab-chat-01")


def test_a_drain_that_is_refused_touches_nothing(ctx: Context, world: World) -> None:
    world.power_off("lab-chat-02")
    with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY"):
        replicas.drain("lab-chat-01", yes=True, output=Output.JSON)
    assert world.takes_requests("lab-chat-01")
