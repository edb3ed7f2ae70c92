"""A knowledge member, configured or rebuilt by hand while an operation on it is unfinished."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.errors import Refused
from permafrost.facts import CanaryAnswers
from permafrost.planning.knowledge_status import KnowledgeFacts, knowledge_status
from permafrost.planning.lookup import node_named
from permafrost.runbook import mending
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_for
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.maintenance import enter
from permafrost.runbook.member_drain import drain_member
from permafrost.runbook.member_turn import TURN
from permafrost.runbook.rebuild import preview_rebuild, rebuild
from permafrost.runbook.recovery import abort_run
from tests.fakes.killing import KillAt, another_process
from tests.fakes.site import placed_context
from tests.fakes.world import Cut, World
from tests.unit.runbook.rolling_tier import ONE, SITE, THREE, TWO, as_configured, tier
from tests.unit.runbook.test_emptied_nodes import mark
from tests.unit.runbook.test_members import of
from tests.unit.runbook.test_undisturbed_node import is_refused

ME = "operator:me"


@pytest.fixture
def world() -> World:
    return tier()


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """A drain of TWO was killed before anything was declared."""
    ctx = as_configured(placed_context(tmp_path / "state", world), "as-it-is")
    ctx.crash = KillAt(0)
    with pytest.raises(Cut):
        drain_member(ctx, node_named(SITE, TWO), owner=ME)
    return another_process(ctx, world)


def test_it_waits_for_the_operation_on_it_and_the_others_do_not(
    ctx: Context, world: World
) -> None:
    done = list(world.effects)
    for refused in (converge_for, rebuild):
        with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
            refused(ctx, TWO, owner=ME)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED"):
        preview_rebuild(ctx, TWO)
    assert world.effects == done
    assert [n for n in (ONE, TWO, THREE, "lab-edge-01") if is_refused(ctx, n)] == [TWO]
    converge_for(ctx, THREE, owner=ME)
    abort_run(ctx, ctx.store.runs.all(1)[0].operation)
    converge_for(ctx, TWO, owner=ME)


def test_a_disk_that_is_empty_is_what_a_rebuild_is_for(ctx: Context, world: World) -> None:
    world.empty_disks.add(TWO)
    assert preview_rebuild(ctx, TWO).stores
    rebuild(ctx, TWO, owner=ME)
    assert read_knowledge(ctx).is_ready


def test_its_own_turn_that_was_cut_off_is_ended_by_the_same_command(
    ctx: Context, world: World
) -> None:
    ctx.store.remember(TURN, {"member": ONE, "rebuilt": False})
    assert is_refused(ctx, TWO), "another's turn is not its own"
    ctx.store.remember(TURN, {"member": TWO, "rebuilt": False})
    for command in ("converge", "rebuild"):
        assert not is_refused(ctx, TWO, command)
    converge_for(ctx, TWO, owner=ME)
    assert is_refused(ctx, TWO)


def test_what_the_status_says_of_it_is_the_way_out(ctx: Context, world: World) -> None:
    mark(world, of(THREE)[0])
    assert is_refused(ctx, TWO), "that is said of another member"
    mark(world, of(TWO)[0])
    assert not is_refused(ctx, TWO)
    assert is_refused(ctx, TWO, "rebuild"), "another command is named"
    converge_for(ctx, TWO, owner=ME)


@pytest.mark.parametrize(
    ("error", "refused"),
    [("x509: certificate signed by unknown authority", False), ("deadline exceeded", True)],
)
def test_a_proxy_s_certificate_that_is_not_the_site_s_is_renewed(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, error: str, refused: bool
) -> None:
    def shown(asked: Context) -> object:
        seen = KnowledgeFacts(canaries={TWO: CanaryAnswers(TWO, error=error)})
        return knowledge_status(asked.site, seen)

    monkeypatch.setattr(mending, "read_knowledge", shown)
    assert is_refused(ctx, TWO) is refused


def test_one_that_runs_and_does_not_answer_may_be_mended_and_one_that_is_off_not(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = KnowledgeFacts(silent={TWO: "no route"})
    monkeypatch.setattr(mending, "read_knowledge", lambda c: knowledge_status(c.site, silent))
    assert not is_refused(ctx, TWO)
    world.power_off(TWO)
    for command in ("converge", "rebuild"):
        assert is_refused(ctx, TWO, command)


def test_a_maintenance_of_its_host_says_both_ways_out(tmp_path: Path, world: World) -> None:
    """Before it was recorded; afterwards no member is touched at all."""
    ctx = placed_context(tmp_path / "other", world)
    ctx.crash = KillAt(0)
    with pytest.raises(Cut):
        enter(ctx, world.machines[TWO].host, owner=ME)
    after = another_process(ctx, world)
    with pytest.raises(Refused, match="OPERATION_UNFINISHED") as refused:
        converge_for(after, TWO, owner=ME)
    assert "permafrost abort" in refused.value.problems[0].hint
