"""Maintenance killed (-9) at every step, before its effect and after it, under load.

Finished in one case, taken back in the other; each time the host is there again afterwards,
everything serves, and no request was lost.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driver import Cli, traffic, wait_until

HOST = "lab-esx-01"
COMMON = ["set-edges-to-drain", "await-idle", "declare-drained"]
STEPS = {
    "enter": [
        "record-maintenance",
        "move-vm",
        "declare-draining",
        *COMMON,
        "shut-down",
        "enter-maintenance-mode",
    ],
    "exit": [
        "record-maintenance",
        "exit-maintenance-mode",
        "move-vm",
        "power-on",
        "await-answer",
        "prove",
        "set-edges-to-ready",
        "await-up",
        "declare-admitted",
        "forget-maintenance",
    ],
}
CASES = [
    (verb, step, when, recovery)
    for verb, steps in STEPS.items()
    for step in steps
    for when, recovery in (("before", "resume"), ("after", "abort"))
]
pytestmark = pytest.mark.soak


@pytest.mark.parametrize(("verb", "step", "when", "recovery"), CASES)
def test_killed_and_recovered(
    verb: str, step: str, when: str, recovery: str, permafrost: Cli, lab: Cli, tmp_path: Path
) -> None:
    wait_until("the site is healthy", lambda: permafrost.json("status")["healthy"], 120, 1)
    if verb == "exit":
        permafrost.run("maintenance", "enter", HOST, "--yes", timeout=600)
    with traffic(lab, "pulse", 30, 900, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        at = f"maintenance-{verb}:{step}:{when}"
        killed = Cli(permafrost.program, {**permafrost.env, "PERMAFROST_CRASH_AT": at})
        killed.run("maintenance", verb, HOST, "--yes", expect=-signal.SIGKILL, timeout=600)
        latest: dict[str, Any] = permafrost.json("history", "--limit", "1")["operations"][0]
        assert latest["interrupted"], latest
        ended = permafrost.json(recovery, latest["operation"], "--yes", timeout=600)
        assert ended["state"] == {"resume": "done", "abort": "aborted"}[recovery]
        is_away = (verb == "enter") == (recovery == "resume")
        hosts = permafrost.json("maintenance", "status")["hosts"]
        assert [h["state"] for h in hosts] == (["IN"] if is_away else [])
        if is_away:
            permafrost.run("maintenance", "exit", HOST, "--yes", timeout=600)
        load.end()
        summary = load.finish()
    outcomes = summary["outcomes"]
    assert (outcomes["failed"], outcomes["cut"], outcomes["wrong"]) == (0, 0, 0), summary
    assert permafrost.json("status")["healthy"]
