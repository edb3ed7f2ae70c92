"""Something breaks while an operation runs: it ends in a state that is told, with what to do.

Each scenario: the code of the error, what is safe meanwhile, then the way on that the message
names. The control of each is the same operation after the fault is healed: it goes through.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.checkpoints import Layout, fine_tuned_pulse
from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, Traffic, VCenter, losses, traffic, vcenter, wait_until
from tests.acceptance.test_maintenance import (
    host_of,
    is_in_maintenance_mode,
    powered_on,
    replicas_on,
)
from tests.acceptance.versions import Versions, old_alone, pulse

pytestmark = pytest.mark.soak

On = Callable[[str], Any]
Status = Callable[[], dict[str, Any]]
REPLICAS = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
LONG = ("--interval-ms", "2500", "--max-tokens", "16")
"""Answers of forty seconds: a drain waits for them while other commands are begun."""

LOADING = ("load-slot", "await-slot", "prove-slot", "await-slot-up")
"""Steps before the switch; each alone may be over before anybody looks."""


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli, lab: Cli, versions: Versions) -> Iterator[None]:
    """Faults healed, operations taken back, every host there, the old checkpoint alone."""
    yield
    lab.run("fault", "heal", "all")
    for run in permafrost.json("history", "--limit", "5")["operations"]:
        if run["state"] in ("paused", "failed") and run["step"]:
            permafrost.run("abort", run["operation"], "--yes", expect=None, timeout=600)
    for host in permafrost.json("maintenance", "status")["hosts"]:
        permafrost.run("maintenance", "exit", host["name"], "--yes", expect=None, timeout=600)
    for name in REPLICAS:
        if replica_state(permafrost.json("status"), name) in ("DRAINED", "DRAINING"):
            permafrost.run("undrain", name, "--yes", expect=None)
    old_alone(permafrost, versions)


def problems(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the errors that a command told as JSON, after its progress."""
    found: list[dict[str, Any]] = json.loads(done.stderr[done.stderr.index("[\n") :])
    assert all(p["message"] and p["hint"] for p in found), found
    return found


def fails(permafrost: Cli, *args: str, status: int = 4) -> dict[str, Any]:
    """Run a command that fails; return the first problem, which says what to do."""
    done = permafrost.run(*args, "--yes", "--output", "json", expect=status, timeout=600)
    return problems(done)[0]


@contextmanager
def underway(permafrost: Cli, load: Traffic, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Begin a command when the first of the load's long answers are whole."""
    load.await_steady()
    with permafrost.begun(*args) as process:
        yield process


def latest(permafrost: Cli) -> dict[str, Any]:
    """Return the latest operation."""
    found: dict[str, Any] = permafrost.json("history", "--limit", "1")["operations"][0]
    return found


def at(permafrost: Cli, *kinds: str) -> bool:
    """Whether the latest operation is at a step of one of these kinds."""
    run = latest(permafrost)
    return bool(run["state"] == "running" and run["step"].rpartition(" ")[2] in kinds)


def test_vcenter_goes_away_in_a_maintenance(
    permafrost: Cli, lab: Cli, status: Status, tmp_path: Path
) -> None:
    host = host_of(status(), REPLICAS[1])
    with (
        traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl", *LONG) as load,
        underway(
            permafrost, load, "maintenance", "enter", host, "--yes", "--output", "json"
        ) as process,
    ):
        wait_until("it drains", lambda: at(permafrost, "await-idle"), 120)
        lab.run("fault", "apply", "vcenter-away", "vcenter")
        _, said = process.communicate(timeout=300)
        assert process.returncode == 4, said
        assert "VCENTER_UNREACHABLE" in said
        run = latest(permafrost)
        assert (run["state"], run["error"]["code"]) == ("failed", "VCENTER_UNREACHABLE")
        assert permafrost.run("drain", REPLICAS[0], "--yes", expect=None).returncode != 0
        lab.run("fault", "heal", "all")
        assert permafrost.json("resume", run["operation"], "--yes", timeout=600)["state"] == "done"
        with vcenter(lab.json("status")) as again:
            assert is_in_maintenance_mode(again, host)
            assert powered_on(again, host) == []
        permafrost.run("maintenance", "exit", host, "--yes", timeout=600)
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary


def test_an_edge_goes_away_in_an_upgrade(
    permafrost: Cli, lab: Cli, status: Status, versions: Versions
) -> None:
    standby = next(e["name"] for e in status()["edges"] if not e["holds_vip"])
    asked = ("upgrade", "pulse", "--to", versions.new)
    with permafrost.begun(*asked, "--yes", "--output", "json") as process:
        wait_until("slots are loaded", lambda: at(permafrost, *LOADING), 300)
        lab.run("fault", "apply", "machine-freeze", standby)
        _, said = process.communicate(timeout=400)
    assert process.returncode in (3, 4), said
    run = latest(permafrost)
    assert run["state"] == "failed"
    assert run["error"]["code"] in ("EDGE_SEES_IT_DOWN", "EDGE_UNREACHABLE"), run
    assert standby in run["error"]["message"] or standby in said
    assert pulse(permafrost)["live_checkpoint"] == versions.old, "nobody was switched"
    lab.run("fault", "heal", "all")
    wait_until("the edge is back", lambda: all(e["state"] == "UP" for e in status()["edges"]), 90)
    assert permafrost.json("resume", run["operation"], "--yes", timeout=600)["state"] == "done"
    assert pulse(permafrost)["live_checkpoint"] == versions.new
    old_alone(permafrost, versions)


def test_a_new_slots_server_hangs_in_an_upgrade(
    permafrost: Cli, lab: Cli, versions: Versions
) -> None:
    """Frozen between its proof and the switch: its gate closes, the edges see it down."""
    env = {**permafrost.env, "PERMAFROST_CRASH_AT": "upgrade:cut-over:before"}
    Cli(permafrost.program, env).run(
        "upgrade", "pulse", "--to", versions.new, "--yes", expect=-signal.SIGKILL, timeout=600
    )
    run = latest(permafrost)
    lab.run("fault", "apply", "service-hang", f"{REPLICAS[1]}:triton-b.service")
    wait_until("its gate closes", lambda: slot_is_refused(permafrost, run["operation"]), 120)
    assert pulse(permafrost)["live_checkpoint"] == versions.old
    lab.run("fault", "heal", "all")
    assert permafrost.json("abort", run["operation"], "--yes", timeout=600)["state"] == "aborted"
    found = pulse(permafrost)
    assert (found["live_checkpoint"], found["kept"]) == (versions.old, None)


def slot_is_refused(permafrost: Cli, operation: str) -> bool:
    """Whether the switch is refused for the slot's sake: not ready, or its probe fails."""
    done = permafrost.run(
        "resume", operation, "--yes", "--output", "json", expect=None, timeout=600
    )
    assert done.returncode in (3, 4), done.stdout
    return problems(done)[0]["code"] in ("SLOT_NOT_READY", "PROBE_FAILED")


def test_a_checkpoint_whose_answers_are_not_the_recorded_ones_answers_nobody(
    permafrost: Cli, lab: Cli, on: On, versions: Versions, tmp_path: Path
) -> None:
    """Planted: signed off as what it is not, in whole and right bytes."""
    env = {**permafrost.env, "PERMAFROST_MODELS": str(tmp_path / "m")}
    models = Cli(permafrost.program, env)
    models.json("model", "pull", f"pulse@{versions.old}", "--as", "pulse:1")
    layout = Layout(tmp_path / "m" / "oci")
    planted = fine_tuned_pulse(
        layout, versions.old, "pulse:bad", tmp_path / "bad.tar", flip=4, is_right=False
    )
    models.json("model", "import", str(tmp_path / "bad.tar"))
    models.json("model", "push", "pulse:bad")
    with traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        told = fails(permafrost, "upgrade", "pulse", "--to", planted)
        assert told["code"] == "PROBE_FAILED", told
        assert latest(permafrost)["step"].endswith("prove-slot")
        assert pulse(permafrost)["live_checkpoint"] == versions.old
        run = latest(permafrost)["operation"]
        assert permafrost.json("abort", run, "--yes", timeout=600)["state"] == "aborted"
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    assert set(summary["checkpoints"]) == {versions.old}
    assert not on(REPLICAS[0]).service("triton-b.service").is_running


def test_another_host_dies_in_a_maintenance(
    permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter
) -> None:
    host, other = (host_of(status(), name) for name in (REPLICAS[0], REPLICAS[2]))
    permafrost.run("maintenance", "enter", host, "--yes", timeout=600)
    away = replicas_on(status(), host)
    lab.run("fault", "apply", "host-lost", other)
    wait_until("it is seen", lambda: not at_rest(status(), REPLICAS[2]), 60)
    refused = permafrost.run(
        "drain", REPLICAS[1], "--yes", "--output", "json", expect=3, timeout=300
    )
    assert {p["code"] for p in problems(refused)} == {"DRAIN_BELOW_MIN_READY"}
    permafrost.run("maintenance", "exit", host, "--yes", timeout=600)
    seen = status()
    assert {replica_state(seen, name) for name in away} == {"ADMITTED"}, "who is there serves"
    assert not is_in_maintenance_mode(vsphere, host)
    lab.run("fault", "heal", "all")
    # vSphere HA leaves VMs with a device off: the plan names them, a deployment switches them on.
    permafrost.run("deploy", "--yes", timeout=900)
    wait_until("all serve again", lambda: permafrost.json("status")["healthy"], 240, every_s=1)


def at_rest(document: dict[str, Any], name: str) -> bool:
    """Whether a replica serves."""
    return replica_state(document, name) == "ADMITTED"


def test_a_nodes_disk_is_full_in_an_upgrade(permafrost: Cli, lab: Cli, versions: Versions) -> None:
    lab.run("fault", "apply", "disk-full", REPLICAS[0])
    told = fails(permafrost, "upgrade", "pulse", "--to", versions.new)
    assert told["code"] == "DISK_FULL", told
    assert told["path"] == REPLICAS[0]
    run = latest(permafrost)
    assert (run["state"], pulse(permafrost)["live_checkpoint"]) == ("failed", versions.old)
    lab.run("fault", "heal", "all")
    assert permafrost.json("resume", run["operation"], "--yes", timeout=600)["state"] == "done"
    old_alone(permafrost, versions)


def test_an_edge_is_reloaded_and_the_other_restarted_in_mid_drain(
    permafrost: Cli, lab: Cli, on: On, status: Status, tmp_path: Path
) -> None:
    edges = status()["edges"]
    holder = next(e["name"] for e in edges if e["holds_vip"])
    standby = next(e["name"] for e in edges if not e["holds_vip"])
    name = REPLICAS[1]
    with (
        traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl", *LONG) as load,
        underway(permafrost, load, "drain", name, "--yes", "--output", "json") as process,
    ):
        wait_until("it drains", lambda: at(permafrost, "await-idle"), 60)
        for edge in (holder, standby):
            on(edge).check_output("systemctl reload haproxy")
        on(standby).check_output("systemctl restart haproxy")
        out, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert replica_state(status(), name) == "DRAINED"
        asked = len([r for r in load.records() if r["replica"] == name])
        wait_until("others answer", lambda: len(load.records()) > 3 * asked + 100, 120)
        late = [r for r in load.records() if r["replica"] == name]
        assert len(late) == asked, "nobody is sent there after the drain has ended"
        permafrost.run("undrain", name, "--yes")
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    assert json.loads(out)["receipt"]
