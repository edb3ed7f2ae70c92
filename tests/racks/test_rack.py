"""A whole rack goes and comes back under load, and nobody notices; a second one may not go then.

Six hosts in three racks, replicas apart by rack. The control leaves the drain out: guests of one
rack are shut down while they serve long answers, and the same checker must see it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, VCenter, losses, traffic
from tests.acceptance.killing import killed
from tests.acceptance.test_maintenance import (
    bring_back,
    is_in_maintenance_mode,
    leave_the_drain_out,
    powered_on,
)
from tests.racks.standing import RACKS, rack_of

pytestmark = pytest.mark.soak

Status = Callable[[], dict[str, Any]]
RATE, AT_MOST_S = 60, 900


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli) -> Iterator[None]:
    """Whatever a scenario leaves is taken back: the next one begins with every host there."""
    yield
    bring_back(permafrost, 600)


def test_replicas_stand_apart_by_rack_and_nothing_is_left_to_do(
    permafrost: Cli, placement: dict[str, str], status: Status
) -> None:
    for endpoint in ("chat", "pulse"):
        racks = [rack_of(host) for name, host in placement.items() if f"-{endpoint}-" in name]
        assert sorted(racks) == sorted(RACKS), placement
    assert status()["healthy"]
    assert permafrost.json("plan")["steps"] == []


@pytest.mark.parametrize("rack", list(RACKS))
def test_a_rack_goes_and_comes_back_and_nobody_notices(
    rack: str,
    permafrost: Cli,
    lab: Cli,
    status: Status,
    vsphere: VCenter,
    placement: dict[str, str],
    tmp_path: Path,
) -> None:
    replicas = [r["name"] for e in status()["endpoints"] for r in e["replicas"]]
    away = [name for name in replicas if placement[name] in RACKS[rack]]
    assert len(away) == 2
    with ExitStack() as stack:
        pulse = stack.enter_context(
            traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl")
        )
        chat = stack.enter_context(
            traffic(lab, "chat", 0.4, AT_MOST_S, 0.5, tmp_path / "chat.jsonl")
        )
        pulse.await_steady()
        pulse.mark()
        entered = permafrost.json("maintenance", "enter", rack, "--yes", timeout=600)
        pulse.mark()
        for host in RACKS[rack]:
            assert is_in_maintenance_mode(vsphere, host)
            assert powered_on(vsphere, host) == []
        seen = status()
        assert {replica_state(seen, name) for name in away} == {"DRAINED"}
        other = next(r for r in RACKS if r != rack)
        for refused_target in (other, RACKS[other][0]):
            refused = permafrost.run(
                "maintenance", "enter", refused_target, "--yes", "--output", "json", expect=3
            ).stderr
            assert "OTHER_MAINTENANCE" in {p["code"] for p in json.loads(refused)}
        left = permafrost.json("maintenance", "exit", rack, "--yes", timeout=600)
        pulse.mark()
        pulse.end()
        chat.end()
        summaries = [pulse.finish(), chat.finish()]
    assert [losses(s) for s in summaries] == [(0, 0, 0)] * 2, summaries
    assert summaries[0]["duplicated"] == 0
    assert min(summaries[0]["in_flight_at"].values()) >= 200, summaries[0]["in_flight_at"]
    assert not any(is_in_maintenance_mode(vsphere, host) for host in RACKS[rack])
    assert status()["healthy"]
    for document in (entered, left):
        receipt = json.loads(Path(document["receipt"]).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["environment"]) == ("done", "lab")
    assert permafrost.json("receipt", "verify")["problems"] == []


def test_killed_while_a_rack_goes_and_while_it_comes_back(
    permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    """Finished on the way in, taken back on the way out, then brought back."""
    rack = "rack-b"
    with traffic(lab, "pulse", 40, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        at = "maintenance-enter:enter-maintenance-mode:after"
        operation = killed(permafrost, at, "maintenance", "enter", rack, "--yes")
        assert permafrost.json("resume", operation, "--yes", timeout=600)["state"] == "done"
        assert all(is_in_maintenance_mode(vsphere, host) for host in RACKS[rack])
        at = "maintenance-exit:power-on:after"
        operation = killed(permafrost, at, "maintenance", "exit", rack, "--yes")
        assert permafrost.json("abort", operation, "--yes", timeout=600)["state"] == "aborted"
        assert all(is_in_maintenance_mode(vsphere, host) for host in RACKS[rack])
        assert all(powered_on(vsphere, host) == [] for host in RACKS[rack])
        permafrost.run("maintenance", "exit", rack, "--yes", timeout=600)
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    assert status()["healthy"]


def test_control_the_drain_left_out_is_caught(
    lab: Cli, status: Status, vsphere: VCenter, placement: dict[str, str], tmp_path: Path
) -> None:
    name = next(n for n, host in placement.items() if "-pulse-" in n and host in RACKS["rack-a"])
    leave_the_drain_out(name, lab, status, vsphere, tmp_path / "control.jsonl")
