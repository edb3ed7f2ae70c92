"""The clients' address moves: no new request fails, and what VRRP cuts is counted."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.driver import Cli, traffic, wait_until
from tests.acceptance.edges import Status, await_new_answers, holder, other
from tests.acceptance.history import began, counted, gap_s, lost, lost_anew, under_way

pytestmark = pytest.mark.soak
Note = Callable[[str, object], None]
AT_MOST_S = 120
SHORT = ("--interval-ms", "50", "--max-tokens", "4", "--fresh")
NORMAL_S = 0.7
"""What an answer of 200 ms takes on a busy machine."""


def forget(address: str) -> None:
    """Have this computer ask the network again where an address is."""
    subprocess.run(["ip", "neigh", "flush", "to", address], check=True, timeout=10)


def test_a_move_costs_no_new_request(
    lab: Cli, status: Status, tmp_path: Path, record_property: Note
) -> None:
    held = holder(status)
    with (
        traffic(lab, "pulse", 50, AT_MOST_S, 0, tmp_path / "short.jsonl", *SHORT) as short,
        traffic(lab, "pulse", 30, AT_MOST_S, 0.5, tmp_path / "long.jsonl", "--fresh") as long,
    ):
        short.await_steady()
        long.await_steady()
        before = time.time()
        fault = lab.json("fault", "apply", "vip-move", held)
        after = time.time()
        try:
            await_new_answers(short, 150)
            for load in (short, long):
                load.end()
                load.finish()
        finally:
            lab.run("fault", "heal", fault["id"])
        records = [*short.records(), *long.records()]
        quick = short.records()
    assert lost_anew(records, after) == []
    cut = lost(records)
    record_property("in_flight", counted(under_way(records, before)))
    record_property("cut", len(cut))
    record_property("gap_s", round(gap_s(quick, before, NORMAL_S), 2))
    assert cut, "it is VRRP: what was under way on the old edge is cut"
    assert all(began(r) < after for r in cut)
    assert holder(status) == other(held), "and nobody takes it back"


def test_control_without_another_edge_new_requests_are_lost(
    lab: Cli, status: Status, tmp_path: Path, record_property: Note
) -> None:
    held = holder(status)
    limit = (*SHORT, "--timeout-s", "3")
    faults = [lab.json("fault", "apply", "service-stop", f"{other(held)}:keepalived.service")]
    try:
        with traffic(lab, "pulse", 30, AT_MOST_S, 0, tmp_path / "short.jsonl", *limit) as load:
            load.await_steady()
            where = f"{held}:keepalived.service"
            faults.append(lab.json("fault", "apply", "service-stop", where))
            # An edge takes packets to the address without having it (docs/adr/0019): who knows
            # where it was goes on, whoever asks the network is told nothing.
            forget(str(status()["vip"]["address"]))
            wait_until("requests are lost", lambda: lost(load.records()), 30)
            load.end()
            load.finish()
            failed = lost(load.records())
    finally:
        for fault in reversed(faults):
            lab.run("fault", "heal", fault["id"])
    record_property("lost", len(failed))
    assert len(failed) >= 5
