"""The judge of the upgrades' machine: it passes each way as planned, and catches each blunder.

The plans are the product's; ``careless`` makes their effects without one look, so that what is
left out or done in another order reaches the world.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from permafrost.facts import ServerState
from permafrost.planning.steps import OperationStep
from permafrost.planning.upgrade import Wish
from permafrost.planning.upgrade_words import Strategy
from permafrost.runbook.upgrade import preview_retire, preview_upgrade, upgrade
from tests.properties.careless import DRAIN, carry_out
from tests.properties.slot_site import ME, REPLICAS, SlotSite
from tests.properties.upgrade_machine import NEW

Steps = list[OperationStep]
ONE = REPLICAS[0]


@pytest.fixture
def at() -> Iterator[SlotSite]:
    """A site whose effects are judged."""
    at = SlotSite()
    at.open_slots()
    at.world.request_s = 0.5
    yield at
    shutil.rmtree(at.folder)


def planned(at: SlotSite, way: Strategy) -> Steps:
    wish = Wish(ME, allow_mixed=way is Strategy.ROLLING, way=way)
    return list(preview_upgrade(at.ctx, "chat", NEW, wish).steps)


def without(steps: Steps, *kinds: str) -> Steps:
    return [s for s in steps if s.kind not in kinds]


@pytest.mark.parametrize("way", list(Strategy))
def test_each_way_as_planned_passes(at: SlotSite, way: Strategy) -> None:
    at.world.rate_per_tick = 0 if way is Strategy.SIDE_BY_SIDE else 1
    carry_out(at.ctx, planned(at, way))
    assert at.world.answers("chat") == {NEW}
    at.check_rest()


@pytest.mark.parametrize("way", list(Strategy))
def test_a_switch_before_the_proof_is_caught(at: SlotSite, way: Strategy) -> None:
    with pytest.raises(AssertionError, match="not probed"):
        carry_out(at.ctx, without(planned(at, way), "prove-slot"))


def test_a_switch_before_anybody_has_it_is_caught(at: SlotSite) -> None:
    steps = planned(at, Strategy.CUT_OVER)
    steps.sort(key=lambda s: s.kind != "cut-over")
    with pytest.raises(AssertionError, match="goes from 4 to 0 replicas"):
        carry_out(at.ctx, steps)


def test_a_switch_to_fewer_than_must_serve_is_caught(at: SlotSite) -> None:
    steps = planned(at, Strategy.CUT_OVER)
    moved = [s for s in steps if s.target != REPLICAS[1]]
    with pytest.raises(AssertionError, match="to 1 replicas"):
        carry_out(at.ctx, moved)


def test_an_exchange_without_a_drain_is_caught(at: SlotSite) -> None:
    with pytest.raises(AssertionError, match="send slot a requests"):
        carry_out(at.ctx, without(planned(at, Strategy.CUT_OVER), DRAIN))


def test_an_exchange_of_what_is_at_work_is_caught(at: SlotSite) -> None:
    at.world.request_s = 1000
    at.world.pass_time(1)
    with pytest.raises(AssertionError, match="in flight in slot a"):
        carry_out(at.ctx, planned(at, Strategy.CUT_OVER))


def test_two_that_hold_nothing_are_caught(at: SlotSite) -> None:
    for name in REPLICAS[:2]:
        at.ctx.traffic.set_state(name, ServerState.DRAIN)
    at.ctx.models.unload(ONE, "a")
    with pytest.raises(AssertionError, match="hold nothing already"):
        at.ctx.models.unload(REPLICAS[1], "a")


def test_a_share_for_nobody_is_caught(at: SlotSite) -> None:
    steps = [s for s in planned(at, Strategy.ROLLING) if s.kind in ("record-release", "set-share")]
    with pytest.raises(AssertionError, match="nobody has"):
        carry_out(at.ctx, steps[:2])


def test_another_digest_in_rotation_is_caught(at: SlotSite) -> None:
    at.ctx.traffic.set_state(ONE, ServerState.DRAIN)
    at.world.machines[ONE].checkpoint = NEW
    with pytest.raises(AssertionError, match="not recorded"):
        at.ctx.traffic.set_state(ONE, ServerState.READY)


def test_a_pin_that_another_answers_is_caught(at: SlotSite) -> None:
    told = {"chat": "a", f"chat@{NEW}": "a", "pulse": "a"}
    with pytest.raises(AssertionError, match="answers a pin to"):
        at.ctx.traffic.set_routes(told)


def test_an_edge_that_missed_it_and_a_node_that_kept_it_are_caught(at: SlotSite) -> None:
    upgrade(at.ctx, "chat", NEW, Wish(ME, way=Strategy.SIDE_BY_SIDE))
    at.check_rest()
    kept = at.world.routes["lab-edge-02"]
    at.world.routes["lab-edge-02"] = {**kept, "chat": "a"}
    with pytest.raises(AssertionError, match="lab-edge-02 knows"):
        at.check_rest()
    at.world.routes["lab-edge-02"] = kept
    at.world.machines[ONE].beside = None
    with pytest.raises(AssertionError, match=f"{ONE} holds"):
        at.check_rest()


def test_an_emptied_slot_that_still_answers_is_caught(at: SlotSite) -> None:
    upgrade(at.ctx, "chat", NEW, Wish(ME, way=Strategy.SIDE_BY_SIDE))
    at.ctx.traffic.set_routes({**at.world.routes["lab-edge-01"], "chat": "a"})
    steps = without(list(preview_retire(at.ctx, "chat").steps), "record-release")
    with pytest.raises(AssertionError, match="send slot a requests"):
        carry_out(at.ctx, steps)


@pytest.mark.soak
def test_a_site_that_does_not_come_back_is_told(at: SlotSite) -> None:
    """A replica whose slots are empty, of which no operation knows: nothing fills them again."""
    at.world.machines[ONE].has_first = False
    at._heal()
    with pytest.raises(AssertionError, match=ONE):
        at._recover()
