"""Take a replica away under load, power-cycle its VM, bring it back: nobody notices.

The load is open-loop and every answer is known beforehand. ``pulse`` carries the volume (at
least 200 requests in flight at each transition), ``chat`` real tokens at a low rate. The
negative control stops the server instead of draining it under the same load: the same checker
must see losses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.driver import Cli, Traffic, VCenter, traffic, wait_until

Status = Callable[[], dict[str, Any]]
LOSSLESS = {"failed": 0, "cut": 0, "wrong": 0}
PULSE_RATE = 60  # each answer takes 16 tokens of 250 ms: 240 in flight
CHAT_RATE = 0.7
CHAT_BEFORE = 10
AT_MOST_S = 600  # a load ends when what it covers has ended


def losses(summary: dict[str, Any]) -> dict[str, int]:
    """Return the outcomes that a client would call a loss."""
    return {name: summary["outcomes"][name] for name in LOSSLESS}


def take_away_and_bring_back(
    name: str, permafrost: Cli, status: Status, vsphere: VCenter, load: Traffic
) -> None:
    """Drain, power-cycle, undrain: what an operator does for a firmware update."""
    load.mark()
    drained = permafrost.json("drain", name, "--yes")
    assert drained["in_flight"] == 0
    assert replica_state(status(), name) == "DRAINED"
    vsphere.power_cycle(name)
    permafrost.run("undrain", name, "--yes")
    load.mark()
    served_again_from = time.time()
    assert replica_state(status(), name) == "ADMITTED"

    def answers_again() -> bool:
        asked = [r["start"] for r in load.records() if r["replica"] == name]
        return any(datetime.fromisoformat(at).timestamp() > served_again_from for at in asked)

    wait_until(f"{name} answers again", answers_again, 60, every_s=1)
    load.end()


@pytest.mark.parametrize("victim", ["lab-pulse-02"])
def test_pulse_loses_nothing_with_200_in_flight(
    victim: str, permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    with traffic(lab, "pulse", PULSE_RATE, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        take_away_and_bring_back(victim, permafrost, status, vsphere, load)
        summary = load.finish()
    assert losses(summary) == LOSSLESS, summary
    assert summary["outcomes"]["refused"] == 0, summary
    assert summary["duplicated"] == 0
    assert min(summary["in_flight_at"].values()) >= 200, summary["in_flight_at"]
    assert len(summary["checkpoints"]) == 1


def test_chat_loses_nothing_with_real_tokens(
    permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    with traffic(lab, "chat", CHAT_RATE, AT_MOST_S, 0.5, tmp_path / "chat.jsonl") as load:
        load.await_steady()
        # How many are asked depends on how long the commands take: as many go before them.
        wait_until(
            "enough are answered", lambda: len(load.records()) >= CHAT_BEFORE, 60, every_s=1
        )
        take_away_and_bring_back("lab-chat-03", permafrost, status, vsphere, load)
        summary = load.finish()
    assert losses(summary) == LOSSLESS, summary
    assert summary["outcomes"]["ok"] == summary["requests"] > CHAT_BEFORE


def in_flight(document: dict[str, Any], name: str) -> int:
    """Return the requests that a replica works on, out of a status document."""
    return sum(
        r["in_flight"] for e in document["endpoints"] for r in e["replicas"] if r["name"] == name
    )


def stop(name: str, permafrost: Cli, lab: Cli) -> None:
    """The control: what takes a replica away without the product."""
    fault = lab.json("fault", "apply", "service-stop", f"{name}:triton-a.service")
    lab.run("fault", "heal", fault["id"])


def drain(name: str, permafrost: Cli, lab: Cli) -> None:
    """The same, by the product."""
    permafrost.run("drain", name, "--yes")
    stop(name, permafrost, lab)
    permafrost.run("undrain", name, "--yes")


@pytest.mark.parametrize("take_away", [drain, stop], ids=["drained", "stopped instead"])
def test_answers_that_outlast_tritons_own_patience(
    take_away: Callable[[str, Cli, Cli], None],
    permafrost: Cli,
    lab: Cli,
    status: Status,
    tmp_path: Path,
) -> None:
    """Answers of 40 s: a stopped Triton waits 30 s for them, a drain until they are whole."""
    name = "lab-pulse-03"
    long = ("--interval-ms", "2500", "--max-tokens", "16")
    with traffic(lab, "pulse", 12, 20, 0.5, tmp_path / "long.jsonl", *long) as load:
        wait_until(f"{name} is at work", lambda: in_flight(status(), name) >= 30, 60, every_s=1)
        take_away(name, permafrost, lab)
        summary = load.finish()
    if take_away is drain:
        assert losses(summary) == LOSSLESS, summary
    else:
        assert sum(losses(summary).values()) >= 5, summary
    wait_until(
        "the replica serves again",
        lambda: replica_state(status(), name) == "ADMITTED",
        60,
        every_s=1,
    )


def test_drain_below_min_ready_is_refused_and_changes_nothing(
    permafrost: Cli, status: Status
) -> None:
    permafrost.run("drain", "lab-chat-01", "--yes")
    try:
        done = permafrost.run("drain", "lab-chat-02", "--yes", "--output", "json", expect=3)
        (problem,) = json.loads(done.stderr)
        assert problem["code"] == "DRAIN_BELOW_MIN_READY"
        assert "lab-chat-01" in problem["message"] + problem["hint"]
        chat = endpoint(status(), "chat")
        assert [r["state"] for r in chat["replicas"]] == ["DRAINED", "ADMITTED", "ADMITTED"]
    finally:
        permafrost.run("undrain", "lab-chat-01", "--yes")


def test_drain_twice_and_undrain_twice_change_nothing(permafrost: Cli, status: Status) -> None:
    for command, state in (("drain", "DRAINED"), ("undrain", "ADMITTED")):
        for _ in range(2):
            permafrost.run(command, "lab-pulse-01", "--yes")
            assert replica_state(status(), "lab-pulse-01") == state


def test_without_yes_and_without_a_terminal_nothing_happens(
    permafrost: Cli, status: Status
) -> None:
    permafrost.run("drain", "lab-pulse-01", expect=2)
    assert replica_state(status(), "lab-pulse-01") == "ADMITTED"


def test_an_unknown_replica_is_refused_with_the_known_ones(permafrost: Cli) -> None:
    done = permafrost.run("drain", "lab-chat-99", "--yes", "--output", "json", expect=3)
    (problem,) = json.loads(done.stderr)
    assert problem["code"] == "REPLICA_UNKNOWN"
    assert "lab-chat-01" in problem["hint"]
