"""A host taken away and brought back under load: nobody notices. In soak: each host in turn.

The negative control leaves the drain out: guests are shut down while they serve long answers,
and the same checker must see it. ``pulse`` carries the volume, ``chat`` real tokens beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, VCenter, losses, traffic, wait_until
from tests.acceptance.killing import killed
from tests.acceptance.kills import IN_AND_OUT
from tests.acceptance.test_update import with_pulse_cpus

Status = Callable[[], dict[str, Any]]
RATE, AT_MOST_S = 60, 600
PULSE = ["lab-pulse-01", "lab-pulse-02", "lab-pulse-03"]


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli) -> Iterator[None]:
    """Whatever a scenario leaves is taken back: the next one begins with every host there."""
    yield
    bring_back(permafrost, 400)


def bring_back(permafrost: Cli, timeout: float) -> None:
    """Take interrupted operations back, and every host or rack out of maintenance."""
    for run in permafrost.json("history", "--limit", "5")["operations"]:
        if run["state"] == "paused":
            permafrost.run("abort", run["operation"], "--yes", expect=None, timeout=timeout)
    for host in permafrost.json("maintenance", "status")["hosts"]:
        permafrost.run("maintenance", "exit", host["name"], "--yes", expect=None, timeout=timeout)


def host_of(document: dict[str, Any], name: str) -> str:
    """Return where a replica or an edge stands, out of a status document."""
    replicas = [r for e in document["endpoints"] for r in e["replicas"]]
    return next(str(n["host"]) for n in [*replicas, *document["edges"]] if n["name"] == name)


def replicas_on(document: dict[str, Any], host: str) -> list[str]:
    """Return the replicas that stand on a host."""
    return [r["name"] for e in document["endpoints"] for r in e["replicas"] if r["host"] == host]


def is_in_maintenance_mode(vsphere: VCenter, host: str) -> bool:
    """Whether vCenter itself says so."""
    hosts = {h.name: h for h in vsphere.all(vim.HostSystem)}
    return bool(hosts[host].runtime.inMaintenanceMode)


def powered_on(vsphere: VCenter, host: str) -> list[str]:
    """Return the VMs that run on a host."""
    return [
        vm.name
        for vm in vsphere.all(vim.VirtualMachine)
        if vm.runtime.powerState == "poweredOn" and vm.runtime.host.name == host
    ]


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize("host", ["lab-esx-01", "lab-esx-02", "lab-esx-03"])
def test_a_host_goes_and_comes_back_and_nobody_notices(
    host: str, permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    away = replicas_on(status(), host)
    assert away
    with ExitStack() as stack:
        pulse = stack.enter_context(
            traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl")
        )
        chat = stack.enter_context(
            traffic(lab, "chat", 0.4, AT_MOST_S, 0.5, tmp_path / "chat.jsonl")
        )
        pulse.await_steady()
        pulse.mark()
        entered = permafrost.json("maintenance", "enter", host, "--yes", timeout=400)
        pulse.mark()
        assert is_in_maintenance_mode(vsphere, host)
        assert powered_on(vsphere, host) == []
        seen = status()
        assert {replica_state(seen, name) for name in away} == {"DRAINED"}
        other = next(h for h in ("lab-esx-02", "lab-esx-03") if h != host)
        refused = permafrost.run(
            "maintenance", "enter", other, "--yes", "--output", "json", expect=3
        ).stderr
        assert "OTHER_MAINTENANCE" in {p["code"] for p in json.loads(refused)}
        left = permafrost.json("maintenance", "exit", host, "--yes", timeout=400)
        pulse.mark()
        pulse.end()
        chat.end()
        summaries = [pulse.finish(), chat.finish()]
    assert [losses(s) for s in summaries] == [(0, 0, 0)] * 2, summaries
    assert summaries[0]["duplicated"] == 0
    assert min(summaries[0]["in_flight_at"].values()) >= 200, summaries[0]["in_flight_at"]
    assert not is_in_maintenance_mode(vsphere, host)
    assert status()["healthy"]
    for document in (entered, left):
        receipt = json.loads(Path(document["receipt"]).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["environment"]) == ("done", "lab")
    assert permafrost.json("receipt", "verify")["problems"] == []


def test_the_drain_left_out_is_caught(
    permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    """The control: guests shut down by hand under answers that outlast Triton's patience."""
    leave_the_drain_out("lab-pulse-02", lab, status, vsphere, tmp_path / "control.jsonl")


def leave_the_drain_out(name: str, lab: Cli, status: Status, vsphere: VCenter, file: Path) -> None:
    """Shut one guest down by hand under long answers: the checker must see what that costs."""
    long = ("--interval-ms", "2500", "--max-tokens", "16")
    with traffic(lab, "pulse", 12, 20, 0.5, file, *long) as load:
        wait_until(f"{name} is at work", lambda: _in_flight(status(), name) >= 30, 60, every_s=1)
        vsphere.power_cycle(name)
        summary = load.finish()
    assert sum(losses(summary)) >= 5, summary
    wait_until("it serves again", lambda: status()["healthy"], 120, every_s=1)


def _in_flight(document: dict[str, Any], name: str) -> int:
    return sum(
        r["in_flight"] for e in document["endpoints"] for r in e["replicas"] if r["name"] == name
    )


def steps(permafrost: Cli, verb: str, host: str) -> list[str]:
    """Return the numbers of the steps that a command would do now."""
    plan = permafrost.json("maintenance", verb, host, "--plan-only")
    return [s["id"] for s in plan["steps"]]


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize(("way_in", "way_out"), IN_AND_OUT)
def test_killed_while_a_host_goes_and_while_it_comes_back(
    way_in: str,
    way_out: str,
    permafrost: Cli,
    lab: Cli,
    shell: Callable[..., Any],
    site_file: Path,
    status: Status,
    vsphere: VCenter,
    tmp_path: Path,
) -> None:
    """Finished on the way in, taken back on the way out.

    In between a raw ``pulumi up`` that would change the VMs of all replicas is refused.
    """
    host = "lab-esx-03"
    with traffic(lab, "pulse", 40, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        at = f"maintenance-enter:{way_in}:after"
        operation = killed(permafrost, at, "maintenance", "enter", host, "--yes")
        assert permafrost.json("resume", operation, "--yes", timeout=400)["state"] == "done"
        assert is_in_maintenance_mode(vsphere, host)
        text = site_file.read_text(encoding="utf-8")
        cpus = {n: vsphere.vm(n).config.hardware.numCPU for n in PULSE}
        site_file.write_text(with_pulse_cpus(text, cpus[PULSE[0]] + 2), encoding="utf-8")
        try:
            said = shell(
                "pulumi up --yes --non-interactive --skip-preview", expect=None, timeout=400
            )
        finally:
            site_file.write_text(text, encoding="utf-8")
        assert said.returncode != 0
        assert "MAINTENANCE_IN_PROGRESS" in said.stdout + said.stderr
        assert {n: vsphere.vm(n).config.hardware.numCPU for n in PULSE} == cpus
        assert is_in_maintenance_mode(vsphere, host)
        assert powered_on(vsphere, host) == []
        at = f"maintenance-exit:{way_out}:after"
        operation = killed(permafrost, at, "maintenance", "exit", host, "--yes")
        assert permafrost.json("abort", operation, "--yes", timeout=400)["state"] == "aborted"
        assert is_in_maintenance_mode(vsphere, host)
        permafrost.run("maintenance", "exit", host, "--yes", timeout=400)
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    assert status()["healthy"]


def test_ok_to_stop_tells_what_stops_and_who_serves(permafrost: Cli, status: Status) -> None:
    found = permafrost.json("ok-to-stop", "host", host_of(status(), "lab-chat-02"))
    assert found["ok"]
    assert {"lab-chat-02", "lab-pulse-02"} <= set(found["stops"])
    serves = {e["endpoint"]: e["serves"] for e in found["endpoints"]}
    assert serves["chat"] == ["lab-chat-01", "lab-chat-03"]
    permafrost.run("drain", "lab-chat-01", "--yes")
    try:
        done = permafrost.run("ok-to-stop", "replica", "lab-chat-02", "--output", "json", expect=3)
        document = json.loads(done.stdout)
        assert [p["code"] for p in document["problems"]] == ["BELOW_MIN_READY"]
        assert "lab-chat-01 is DRAINED" in document["problems"][0]["message"]
    finally:
        permafrost.run("undrain", "lab-chat-01", "--yes")
