"""Whoever is at work is named before a plan is made: the plan may only show what it has done."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from permafrost.cli import changing, replicas
from permafrost.cli.options import Output
from permafrost.errors import Held
from permafrost.runbook.context import Context
from tests.fakes.site import context, small_site
from tests.fakes.world import World


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A site at which somebody else is at work."""
    ctx = context(tmp_path / "state", World.of(small_site()))
    ctx.store.lock.acquire("drain lab-chat-02")
    for module in (changing, replicas):
        monkeypatch.setattr(module, "open_site", lambda _: ctx)
    return ctx


def planned(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("a plan was made first")


def test_a_command_with_a_plan(held: Context) -> None:
    asked = changing.Asked(None, yes=True, plan_only=False, output=Output.JSON)
    with pytest.raises(Held, match="SITE_HELD"):
        changing.change("maintenance enter", "lab-esx-01", asked, planned, planned)
    assert held.store.lock.holder() is not None


def test_a_drain(held: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("permafrost.runbook.drain.preview_drain", planned)
    with pytest.raises(Held, match="SITE_HELD"):
        replicas.drain("lab-chat-01", yes=True, output=Output.JSON)
    assert held.store.runs.unfinished() == ()
