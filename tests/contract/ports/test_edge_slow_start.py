"""A replica that comes back gets its requests by and by, and none before a check finds it well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.facts import ServerState
from tests.contract.ports.haproxy import Edge, LocalShell, running_edge
from tests.contract.ports.test_edge_memory import COMMAND, ONE, TWO, soon

STOPPED, STARTING, RUNNING = "0", "1", "2"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with running_edge(tmp_path, (ONE, TWO)) as found:
        yield found


@pytest.fixture
def director(edge: Edge, tmp_path: Path) -> HaproxyRuntime:
    found = HaproxyRuntime(["lab-edge-01"], LocalShell(tmp_path), vip="127.0.0.1")
    soon(lambda: found.observe().serves(ONE) and found.observe().serves(TWO))
    return found


def told(folder: Path, command: str) -> str:
    return LocalShell(folder).run("lab-edge-01", COMMAND, stdin=f"{command}\n").stdout


def operation(folder: Path, replica: str) -> str:
    """Return HAProxy's word for how well a server is."""
    rows = [line.split() for line in told(folder, "show servers state chat_a").splitlines()]
    (names,) = [row[1:] for row in rows if row[:2] == ["#", "be_id"]]
    (row,) = [row for row in rows if len(row) == len(names) and row[3] == replica]
    return row[names.index("srv_op_state")]


def test_one_that_was_drained_begins_slowly(director: HaproxyRuntime, tmp_path: Path) -> None:
    assert operation(tmp_path, ONE) == RUNNING
    director.set_state(ONE, ServerState.DRAIN)
    assert operation(tmp_path, ONE) == RUNNING
    director.set_state(ONE, ServerState.READY)
    soon(lambda: director.observe().serves(ONE))
    assert operation(tmp_path, ONE) == STARTING


def test_control_told_to_haproxy_alone_it_has_as_many_as_others_at_once(
    director: HaproxyRuntime, tmp_path: Path
) -> None:
    director.set_state(ONE, ServerState.DRAIN)
    told(tmp_path, f"set server chat_a/{ONE} state ready")
    assert operation(tmp_path, ONE) == RUNNING


def test_one_that_was_never_away_is_not_held_back(
    director: HaproxyRuntime, tmp_path: Path
) -> None:
    director.set_state(ONE, ServerState.READY)
    assert operation(tmp_path, ONE) == RUNNING


def test_one_that_is_not_well_stays_out_until_a_check_says_otherwise(
    edge: Edge, director: HaproxyRuntime, tmp_path: Path
) -> None:
    director.set_state(ONE, ServerState.DRAIN)
    edge.replicas[ONE].is_ready = False
    soon(lambda: operation(tmp_path, ONE) == STOPPED)
    director.set_state(ONE, ServerState.READY)
    assert operation(tmp_path, ONE) == STOPPED
    edge.replicas[ONE].is_ready = True
    soon(lambda: operation(tmp_path, ONE) == STARTING)


def test_what_is_open_there_goes_on(edge: Edge, director: HaproxyRuntime, tmp_path: Path) -> None:
    for _ in range(2):
        edge.ask()
    soon(lambda: director.observe().in_flight(ONE) == 1)
    director.set_state(ONE, ServerState.DRAIN)
    director.set_state(ONE, ServerState.READY)
    soon(lambda: director.observe().serves(ONE))
    assert director.observe().in_flight(ONE) == 1
    edge.let_go()
