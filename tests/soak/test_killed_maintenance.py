"""Maintenance killed (-9) at every step, before its effect and after it, under load.

Finished in one case, taken back in the other; each time no request was lost, no edge had fewer
than ``min_ready`` replicas, and where the host is there again everything serves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import ROOT, Cli, losses, traffic
from tests.acceptance.killing import killed_in_turn, recover
from tests.acceptance.kills import MAINTENANCE
from tests.acceptance.rotation import watched

RECOVERIES = {"before": "resume", "after": "abort"}
pytestmark = pytest.mark.soak


def cases() -> list[tuple[str, str, tuple[str, ...]]]:
    """Every step twice, in an order in which a case mostly begins where the last one ended.

    Taken back: one command for each step. Finished: one that is killed before each step in turn,
    resumed as far as the next.
    """
    return [
        (verb, when, steps)
        for verb, kinds in MAINTENANCE.items()
        for when, steps in [*(("after", (kind,)) for kind in kinds), ("before", tuple(kinds))]
    ]


def called(case: tuple[str, str, tuple[str, ...]]) -> str:
    """Return what a case is called."""
    verb, when, steps = case
    return f"{verb}-{when}-{steps[0] if len(steps) == 1 else 'each'}"


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


@pytest.mark.parametrize(
    ("verb", "when", "steps"), [pytest.param(*case, id=called(case)) for case in cases()]
)
def test_killed_and_recovered(
    verb: str,
    when: str,
    steps: tuple[str, ...],
    permafrost: Cli,
    lab: Cli,
    on: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    host = brought(permafrost, is_away=verb == "exit")
    recovery = RECOVERIES[when]
    pulse = endpoint(permafrost.json("status"), "pulse")
    with (
        watched(on, f"pulse_{pulse['slot']}") as rotation,
        traffic(lab, "pulse", 30, 900, 0.5, tmp_path / "pulse.jsonl") as load,
    ):
        load.await_steady()
        began = time.time()
        asked = ("maintenance", verb, host, "--yes")
        recover(
            permafrost,
            recovery,
            killed_in_turn(permafrost, f"maintenance-{verb}", steps, when, *asked),
        )
        is_away = (verb == "enter") == (recovery == "resume")
        assert [h["state"] for h in hosts_away(permafrost)] == (["IN"] if is_away else [])
        over = time.time()
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    fewest = rotation.fewest_up(began, over)
    assert min(fewest.values()) >= pulse["min_ready"], fewest
    if not is_away:
        assert permafrost.json("status")["healthy"]
