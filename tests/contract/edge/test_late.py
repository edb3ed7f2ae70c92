"""Lateness is not death: replicas whose health answers come late go on serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.front import NODES
from tests.contract.edge.late import LASTS_S, RATE
from tests.contract.edge.test_front_door import run

ASKED = int(RATE * LASTS_S)


def test_late_health_answers_of_all_take_nobody_out(tmp_path: Path) -> None:
    seen = run("late", tmp_path)
    assert seen["statuses"] == {"200": ASKED}
    assert set(seen["in_the_end"]) == set(NODES)


@pytest.mark.soak
def test_control_with_direct_checks_that_wait_for_less_clients_are_turned_away(
    tmp_path: Path,
) -> None:
    seen = run("late-direct", tmp_path)
    assert seen["statuses"].get("503", 0) >= 10, seen


@pytest.mark.soak
def test_health_answers_that_never_come_leave_min_ready_in_rotation(tmp_path: Path) -> None:
    """Three of ``chat``, of which two must be ready: the silence of all takes out one."""
    seen = run("silent", tmp_path)
    assert seen["statuses"] == {"200": ASKED}
    assert len(seen["in_the_end"]) == 2, seen


@pytest.mark.soak
def test_nodes_that_get_too_little_time_are_slow_and_not_lost(tmp_path: Path) -> None:
    """Every node's HAProxy stands still for 1.6 s of each 1.9 s, all at the same time."""
    seen = run("starved", tmp_path)
    assert seen["statuses"] == {"200": ASKED}, seen


@pytest.mark.soak
def test_control_with_direct_checks_starved_nodes_are_taken_for_lost(tmp_path: Path) -> None:
    seen = run("starved-direct", tmp_path)
    assert seen["statuses"].get("503", 0) >= 10, seen
