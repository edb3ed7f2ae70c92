"""The orchestrator killed (-9) at a step of its own; finished or taken back afterwards.

One moment of each command runs in ``make test``; every moment in soak (tests/soak).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, traffic, wait_until
from tests.acceptance.killing import killed

Status = Callable[[], dict[str, Any]]
NAME = "lab-pulse-02"


def children_of_killed(env_mark: str) -> list[int]:
    """Return processes that still carry the mark of a killed command in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if env_mark.encode() in environ:
                found.append(int(entry.name))
    return found


def test_a_drain_killed_between_effect_and_evidence_is_finished(
    permafrost: Cli, lab: Cli, status: Status, tmp_path: Path
) -> None:
    with traffic(lab, "pulse", 40, 400, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        at = "drain:set-edges-to-drain:after"
        operation = killed(permafrost, at, "drain", NAME, "--yes")
        mark = f"PERMAFROST_CRASH_AT={at}"
        wait_until("its children are gone", lambda: not children_of_killed(mark), 1, 0.05)
        assert replica_state(status(), NAME) == "DRAINING"
        for other in (("drain", "lab-chat-01"), ("converge", NAME)):
            refused = permafrost.run(*other, "--yes", "--output", "json", expect=3).stderr
            assert json.loads(refused)[0]["code"] == "OPERATION_UNFINISHED"
        shown = permafrost.json("resume", operation, "--yes")
        assert shown["state"] == "done"
        assert replica_state(status(), NAME) == "DRAINED"
        permafrost.run("undrain", NAME, "--yes")
        load.end()
        summary = load.finish()
    outcomes = summary["outcomes"]
    assert (outcomes["failed"], outcomes["cut"], outcomes["wrong"]) == (0, 0, 0), summary
    receipt = json.loads(Path(shown["receipt"]).read_text(encoding="utf-8"))
    phases = [(s["kind"], s["phase"]) for s in receipt["steps"]]
    assert ("set-edges-to-drain", "INTENT") in phases
    assert ("set-edges-to-drain", "ALREADY") in phases
    assert permafrost.json("receipt", "verify")["problems"] == []


def test_an_undrain_killed_before_the_probe_is_taken_back(permafrost: Cli, status: Status) -> None:
    permafrost.run("drain", NAME, "--yes")
    operation = killed(permafrost, "undrain:prove:before", "undrain", NAME, "--yes")
    assert permafrost.json("abort", operation, "--yes")["state"] == "aborted"
    assert replica_state(status(), NAME) == "DRAINED"
    permafrost.run("undrain", NAME, "--yes")
    assert replica_state(status(), NAME) == "ADMITTED"


@pytest.mark.parametrize("verb", ["resume", "abort"])
def test_an_operation_that_is_over_is_refused(permafrost: Cli, verb: str) -> None:
    permafrost.run("drain", NAME, "--yes")
    permafrost.run("undrain", NAME, "--yes")
    operation = permafrost.json("history", "--limit", "1")["operations"][0]["operation"]
    done = permafrost.run(verb, operation, "--yes", "--output", "json", expect=3)
    assert json.loads(done.stderr)[0]["code"] == "OPERATION_OVER"
