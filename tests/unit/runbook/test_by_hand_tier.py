"""A member that a person has configured, or rebuilt: one receipt, killed anywhere or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_for
from permafrost.runbook.founding import FOUNDED
from permafrost.runbook.member_turn import unfinished_turn
from permafrost.runbook.rebuild import preview_rebuild, rebuild
from tests.fakes.killing import another_process, before_each_commit, is_cut_at_commit
from tests.fakes.site import context
from tests.fakes.world import World
from tests.unit.runbook.chain import lines, parts, receipts, require_announced
from tests.unit.runbook.rolling_tier import ONE, SITE, ctx, world
from tests.unit.runbook.rolling_tier import TWO as MEMBER

__all__ = ["ctx", "world"]

ME = "operator:me"


def test_a_member_s_receipt_tells_its_turn(ctx: Context) -> None:
    converge_for(ctx, MEMBER, owner=ME)
    (receipt,) = receipts(ctx)
    assert [line for line in lines(receipt) if line.endswith("DONE")] == [
        "01 hand-over DONE",
        "02 converge DONE",
        "03 await-tier DONE",
    ]
    assert (parts(receipt), receipt["evidence"]["drained"]) == ([], True)


def test_a_rebuilt_member_s_receipt_tells_what_it_got_and_from_whom(
    ctx: Context, world: World
) -> None:
    world.empty_disks.add(MEMBER)
    rebuild(ctx, MEMBER, owner=ME)
    (receipt,) = receipts(ctx)
    assert (receipt["command"], receipt["target"]) == ("rebuild", MEMBER)
    assert lines(receipt)[0] == "01 readmit INTENT"
    assert len([n for n in receipt["evidence"]["notes"] if n.startswith("rebuilt: ")]) == 3


def with_an_empty_member(folder: Path) -> tuple[Context, World]:
    world = World.of(SITE)
    world.etcd_leader = ONE
    world.empty_disks.add(MEMBER)
    ctx = context(folder / "state", world)
    ctx.store.remember(FOUNDED, {"version": "2.3.5"})
    return ctx, world


def writes_of_a_rebuild(folder: Path) -> int:
    """Return how many transactions a whole one has."""
    ctx, _ = with_an_empty_member(folder)
    ended: list[None] = []
    with before_each_commit(ctx, lambda: ended.append(None)):
        rebuild(ctx, MEMBER, owner=ME)
    return len(ended)


@pytest.mark.thorough
def test_a_rebuild_that_is_killed_at_its_end_is_never_refused_as_nothing_lost(
    tmp_path: Path,
) -> None:
    """Before and after its receipt, until its turn is over; kills before: test_rebuild."""
    count = writes_of_a_rebuild(tmp_path / "counted")
    with_receipt = without = 0
    for moment in range(count - 16, count):
        ctx, world = with_an_empty_member(tmp_path / str(moment))
        assert is_cut_at_commit(ctx, moment, lambda ctx=ctx: rebuild(ctx, MEMBER, owner=ME))  # type: ignore[misc]
        after = another_process(ctx, world)
        require_announced(after)
        was_written = bool(after.store.receipts.head())
        if was_written and not unfinished_turn(after):
            continue  # nothing was left but to say that it is over
        preview_rebuild(after, MEMBER)
        rebuild(after, MEMBER, owner=ME)
        assert len(receipts(after)) == 1 + was_written
        assert world.empty_disks == set()
        with_receipt, without = with_receipt + was_written, without + (not was_written)
    assert with_receipt > 1
    assert without > 4
