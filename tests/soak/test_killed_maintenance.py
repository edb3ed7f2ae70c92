"""Maintenance killed (-9) at every step, before its effect and after it, under load.

Finished in one case, taken back in the other; each time no request was lost, no edge had fewer
than ``min_ready`` replicas, and where the host is there again everything serves.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import ROOT, Cli, traffic
from tests.acceptance.kills import MAINTENANCE
from tests.acceptance.rotation import watched

RECOVERIES = {"before": "resume", "after": "abort"}
pytestmark = pytest.mark.soak


def cases() -> list[tuple[str, str, str, str]]:
    """Every step twice, in an order in which a case mostly begins where the last one ended."""
    return [
        (verb, step, when, RECOVERIES[when])
        for enter, leave in zip_longest(MAINTENANCE["enter"], MAINTENANCE["exit"])
        for verb, step in (("enter", enter), ("exit", leave))
        for when in ("after", "before")
        if step is not None
    ]


def hosts_away(permafrost: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = permafrost.json("maintenance", "status")["hosts"]
    return found


def host_of_an_edge(permafrost: Cli) -> str:
    """Return a host from which an edge is moved when it goes: one of its steps."""
    return str(permafrost.json("status")["edges"][0]["host"])


def brought(permafrost: Cli, *, is_away: bool) -> str:
    """See to it that a host is in maintenance, or that none is; return it, or one that may go."""
    away = hosts_away(permafrost)
    host = str(away[0]["host"]) if away else host_of_an_edge(permafrost)
    if bool(away) != is_away:
        verb = "enter" if is_away else "exit"
        permafrost.run("maintenance", verb, host, "--yes", timeout=600)
    return host


@pytest.fixture(scope="module", autouse=True)
def as_found(site_env: dict[str, str]) -> Iterator[None]:
    """After the last case every host is there again."""
    yield
    brought(Cli(ROOT / ".venv/bin/permafrost", site_env), is_away=False)


@pytest.mark.parametrize(("verb", "step", "when", "recovery"), cases())
def test_killed_and_recovered(
    verb: str,
    step: str,
    when: str,
    recovery: str,
    permafrost: Cli,
    lab: Cli,
    on: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    host = brought(permafrost, is_away=verb == "exit")
    pulse = endpoint(permafrost.json("status"), "pulse")
    with (
        watched(on, f"pulse_{pulse['slot']}") as rotation,
        traffic(lab, "pulse", 30, 900, 0.5, tmp_path / "pulse.jsonl") as load,
    ):
        load.await_steady()
        began = time.time()
        at = f"maintenance-{verb}:{step}:{when}"
        killed = Cli(permafrost.program, {**permafrost.env, "PERMAFROST_CRASH_AT": at})
        killed.run("maintenance", verb, host, "--yes", expect=-signal.SIGKILL, timeout=600)
        latest: dict[str, Any] = permafrost.json("history", "--limit", "1")["operations"][0]
        assert latest["interrupted"], latest
        ended = permafrost.json(recovery, latest["operation"], "--yes", timeout=600)
        assert ended["state"] == {"resume": "done", "abort": "aborted"}[recovery]
        is_away = (verb == "enter") == (recovery == "resume")
        assert [h["state"] for h in hosts_away(permafrost)] == (["IN"] if is_away else [])
        over = time.time()
        load.end()
        summary = load.finish()
    outcomes = summary["outcomes"]
    assert (outcomes["failed"], outcomes["cut"], outcomes["wrong"]) == (0, 0, 0), summary
    fewest = rotation.fewest_up(began, over)
    assert min(fewest.values()) >= pulse["min_ready"], fewest
    if not is_away:
        assert permafrost.json("status")["healthy"]
