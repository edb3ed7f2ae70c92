"""Maintenance killed (-9) at every step, before its effect and after it, under load.

Finished in one case, taken back in the other; each time no request was lost, and where the host
is there again everything serves.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driver import ROOT, Cli, traffic

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
RECOVERIES = {"before": "resume", "after": "abort"}


def cases() -> list[tuple[str, str, str, str]]:
    """Every step twice, in an order in which a case mostly ends where the next one begins."""
    rounds = zip_longest(STEPS["enter"], STEPS["exit"])
    return [
        (verb, step, when, RECOVERIES[when])
        for enter, leave in rounds
        for verb, step, when in (
            ("enter", enter, "after"),
            ("enter", enter, "before"),
            ("exit", leave, "after"),
            ("exit", leave, "before"),
        )
        if step is not None
    ]


pytestmark = pytest.mark.soak


@pytest.fixture(scope="module", autouse=True)
def as_found(site_env: dict[str, str]) -> Iterator[None]:
    """After the last case the host is there again."""
    yield
    program = Cli(ROOT / ".venv/bin/permafrost", site_env)
    be(is_away=False, permafrost=program)


def be(*, is_away: bool, permafrost: Cli) -> None:
    """See to it that the host is in maintenance, or is not."""
    hosts = permafrost.json("maintenance", "status")["hosts"]
    if bool(hosts) != is_away:
        verb = "enter" if is_away else "exit"
        permafrost.run("maintenance", verb, HOST, "--yes", timeout=600)


@pytest.mark.parametrize(("verb", "step", "when", "recovery"), cases())
def test_killed_and_recovered(
    verb: str, step: str, when: str, recovery: str, permafrost: Cli, lab: Cli, tmp_path: Path
) -> None:
    be(is_away=verb == "exit", permafrost=permafrost)
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
        load.end()
        summary = load.finish()
    outcomes = summary["outcomes"]
    assert (outcomes["failed"], outcomes["cut"], outcomes["wrong"]) == (0, 0, 0), summary
    if not is_away:
        assert permafrost.json("status")["healthy"]
