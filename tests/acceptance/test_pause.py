"""A running operation is stopped before its next step by a command of another process.

The step that is under way is finished; the operation then waits, is named to who begins another
one, and goes on or is taken back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, VCenter, losses, traffic, wait_until
from tests.acceptance.killing import latest
from tests.acceptance.test_faults_in_runbooks import LONG, at, fails, underway
from tests.acceptance.test_maintenance import (
    bring_back,
    host_of,
    is_in_maintenance_mode,
    powered_on,
)
from tests.acceptance.versions import Versions, old_alone

Status = Callable[[], dict[str, Any]]
NAME, OTHER = "lab-pulse-02", "lab-chat-01"


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli) -> Iterator[None]:
    """Whatever a scenario leaves is taken back: the next one begins with every host there."""
    yield
    bring_back(permafrost, 400)


def pause(permafrost: Cli, process: Any) -> dict[str, Any]:
    """Pause the latest operation; return it once its own process has ended with that."""
    operation = latest(permafrost)["operation"]
    asked = permafrost.json("pause", operation)
    assert (asked["operation"], asked["state"]) == (operation, "running")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 4, said
    (problem,) = json.loads(said[said.index("[\n") :])
    assert (problem["code"], problem["path"]) == ("OPERATION_PAUSED", operation)
    for verb in ("resume", "abort"):
        assert f"`permafrost {verb} {operation}`" in problem["hint"]
    run = latest(permafrost)
    assert (run["operation"], run["state"], run["receipt"]) == (operation, "paused", None), run
    return run


def require_ended_between_steps(permafrost: Cli, operation: str) -> int:
    """Fail where a step was begun and not finished; return how many were done."""
    journal = permafrost.json("show", operation)["journal"]
    begun = [e["step"] for e in journal if e["phase"] == "INTENT"]
    done = [e["step"] for e in journal if e["phase"] == "DONE"]
    assert begun == done, journal
    return len(done)


def test_a_maintenance_waits_and_goes_on(
    permafrost: Cli, status: Status, vsphere: VCenter
) -> None:
    host = host_of(status(), NAME)
    asked = ("maintenance", "enter", host, "--yes", "--output", "json")
    with permafrost.begun(*asked) as process:
        wait_until("its first steps are done", lambda: at(permafrost, "shut-down"), 60)
        run = pause(permafrost, process)
    done = require_ended_between_steps(permafrost, run["operation"])
    assert not is_in_maintenance_mode(vsphere, host)
    told = fails(permafrost, "drain", OTHER, status=3)
    assert (told["code"], told["path"]) == ("OPERATION_UNFINISHED", run["operation"])
    again = permafrost.run("pause", run["operation"], "--output", "json", expect=3)
    assert json.loads(again.stderr)[0]["code"] == "OPERATION_NOT_RUNNING"
    assert require_ended_between_steps(permafrost, run["operation"]) == done, "it waits"
    ended = permafrost.json("resume", run["operation"], "--yes", timeout=400)
    assert (ended["state"], bool(ended["receipt"])) == ("done", True)
    assert is_in_maintenance_mode(vsphere, host)
    assert powered_on(vsphere, host) == []
    permafrost.run("maintenance", "exit", host, "--yes", timeout=400)
    over = permafrost.run("pause", run["operation"], "--output", "json", expect=3)
    assert json.loads(over.stderr)[0]["code"] == "OPERATION_NOT_RUNNING"


@pytest.mark.soak
def test_a_drain_under_load_is_paused_and_taken_back(
    permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    """Paused while it waits for answers of forty seconds: it sees them end, then stops."""
    host = host_of(status(), NAME)
    asked = ("maintenance", "enter", host, "--yes", "--output", "json")
    with (
        traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl", *LONG) as load,
        underway(permafrost, load, *asked) as process,
    ):
        wait_until("it drains", lambda: at(permafrost, "await-idle"), 120)
        run = pause(permafrost, process)
        assert run["step"].endswith("await-idle"), "answers have ended, and nothing more was begun"
        assert powered_on(vsphere, host), "nothing was shut down"
        ended = permafrost.json("abort", run["operation"], "--yes", timeout=400)
        assert ended["state"] == "aborted"
        assert permafrost.json("maintenance", "status")["hosts"] == []
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    assert status()["healthy"]


@pytest.mark.soak
def test_an_upgrade_is_paused_before_its_switch_and_goes_on(
    permafrost: Cli, lab: Cli, status: Status, versions: Versions, tmp_path: Path
) -> None:
    asked = ("upgrade", "pulse", "--to", versions.new, "--yes", "--output", "json")
    file = tmp_path / "pulse.jsonl"
    with traffic(lab, "pulse", 30, 600, 0.5, file, *versions.also) as load:
        load.await_steady()
        with permafrost.begun(*asked) as process:
            wait_until("a slot is loaded", lambda: at(permafrost, "load-slot", "await-slot"), 120)
            run = pause(permafrost, process)
        require_ended_between_steps(permafrost, run["operation"])
        assert endpoint(status(), "pulse")["live_checkpoint"] == versions.old
        told = fails(permafrost, "rollback", "pulse", status=3)
        assert (told["code"], told["path"]) == ("OPERATION_UNFINISHED", run["operation"])
        ended = permafrost.json("resume", run["operation"], "--yes", timeout=400)
        assert ended["state"] == "done"
        assert endpoint(status(), "pulse")["live_checkpoint"] == versions.new
        old_alone(permafrost, versions)
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
