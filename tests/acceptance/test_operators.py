"""Two operators, a stale lock, a suspended one that wakes up late: one at a time has the site."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, VCenter, losses, traffic, wait_until
from tests.acceptance.test_faults_in_runbooks import LONG, at, fails, latest, problems, underway
from tests.acceptance.test_update import with_pulse_cpus

pytestmark = pytest.mark.soak

Status = Callable[[], dict[str, Any]]
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
NAME = PULSE[1]


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli) -> Iterator[None]:
    """Whoever is away is brought back."""
    yield
    for run in permafrost.json("history", "--limit", "5")["operations"]:
        if run["state"] == "paused":
            permafrost.run("abort", run["operation"], "--yes", expect=None, timeout=400)
    for name in PULSE:
        if replica_state(permafrost.json("status"), name) != "ADMITTED":
            permafrost.run("undrain", name, "--yes", expect=None)


def test_while_one_drains_another_operator_and_a_typed_up_are_held_off(
    permafrost: Cli,
    lab: Cli,
    shell: Callable[..., Any],
    site_file: Path,
    vsphere: VCenter,
    tmp_path: Path,
) -> None:
    cpus = {n: vsphere.vm(n).config.hardware.numCPU for n in PULSE}
    with (
        traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl", *LONG) as load,
        underway(permafrost, load, "drain", NAME, "--yes") as process,
    ):
        wait_until("it drains", lambda: at(permafrost, "await-idle"), 60)
        held = fails(permafrost, "drain", PULSE[0], status=5)
        assert held["code"] == "SITE_HELD", held
        text = site_file.read_text(encoding="utf-8")
        site_file.write_text(with_pulse_cpus(text, cpus[NAME] + 2), encoding="utf-8")
        try:
            said = shell("pulumi up --yes --non-interactive --skip-preview", expect=None)
        finally:
            site_file.write_text(text, encoding="utf-8")
        assert said.returncode != 0
        assert "SITE_HELD" in said.stdout + said.stderr, said.stdout[-2000:]
        assert {n: vsphere.vm(n).config.hardware.numCPU for n in PULSE} == cpus
        assert process.wait(300) == 0
        permafrost.run("undrain", NAME, "--yes")
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary


def test_a_dead_operators_lock_is_free_at_once_and_what_it_left_is_named(
    permafrost: Cli, status: Status
) -> None:
    crashing = Cli(
        permafrost.program, {**permafrost.env, "PERMAFROST_CRASH_AT": "drain:await-idle:before"}
    )
    crashing.run("drain", NAME, "--yes", expect=-signal.SIGKILL)
    left = latest(permafrost)
    told = fails(permafrost, "drain", PULSE[0], status=3)
    assert told["code"] == "OPERATION_UNFINISHED"
    assert left["operation"] in told["hint"]
    began = time.monotonic()
    assert permafrost.json("resume", left["operation"], "--yes")["state"] == "done"
    assert time.monotonic() - began < 60, "nobody waits for a dead one's lease"
    assert replica_state(status(), NAME) == "DRAINED"


def test_a_suspended_operator_does_not_wake_up_after_its_lock_was_taken(
    permafrost: Cli, site_file: Path, status: Status, lab: Cli, tmp_path: Path
) -> None:
    """Its lease is made to have run out: waiting for that would take a quarter of an hour."""
    database = site_file.parent / "state/permafrost.db"
    with (
        traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl", *LONG) as load,
        underway(permafrost, load, "drain", NAME, "--yes") as process,
    ):
        wait_until("it drains", lambda: at(permafrost, "await-idle"), 60)
        os.kill(process.pid, signal.SIGSTOP)
        held = permafrost.run("undrain", NAME, "--yes", "--output", "json", expect=5)
        assert problems(held)[0]["code"] == "SITE_HELD", "its lease still holds"
        with sqlite3.connect(database, timeout=10) as connection:
            connection.execute("UPDATE site_lock SET expires_at = '2020-01-01T00:00:00.000000Z'")
        connection.close()
        left = latest(permafrost)["operation"]
        assert permafrost.json("abort", left, "--yes", timeout=300)["state"] == "aborted"
        assert process.wait(10) == -signal.SIGKILL, "it was ended before its lock was taken"
        assert replica_state(status(), NAME) == "ADMITTED"
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
