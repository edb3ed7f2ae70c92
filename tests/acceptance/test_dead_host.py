"""A host dies while it is in maintenance: it is left without it, and comes back later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, VCenter, losses, traffic, wait_until
from tests.acceptance.hosts import whole_again
from tests.acceptance.test_faults_in_runbooks import problems
from tests.acceptance.test_maintenance import (
    bring_back,
    host_of,
    is_in_maintenance_mode,
    powered_on,
    replicas_on,
)

pytestmark = pytest.mark.soak

Status = Callable[[], dict[str, Any]]
NAME = "lab-pulse-02"


@pytest.fixture(name="whole_again")
def afterwards(lab: Cli, status: Status, vsphere: VCenter, permafrost: Cli) -> Iterator[None]:
    """Afterwards the host is back, every VM on and where it was, and all of them serve."""
    with whole_again(lab, status, vsphere):
        try:
            yield
        finally:
            lab.run("fault", "heal", "all")
            bring_back(permafrost, 400)
            for host in ("lab-esx-01", "lab-esx-02", "lab-esx-03"):
                # One that came back closed is nobody's: no record names it.
                if is_in_maintenance_mode(vsphere, host):
                    permafrost.run("maintenance", "exit", host, "--yes", expect=None)
            permafrost.run("deploy", "--yes", expect=None, timeout=600)


def is_connected(permafrost: Cli, host: str) -> bool:
    """Whether vCenter has a host, as the product shows it."""
    hosts = permafrost.run("drift", "--output", "json", expect=None)
    return bool(host_facts(hosts.stdout, host)["connected"])


def declared(document: dict[str, Any], names: list[str]) -> set[tuple[str, str]]:
    """Return what is declared of replicas, and why."""
    replicas = [r for e in document["endpoints"] for r in e["replicas"] if r["name"] in names]
    return {(r["declared"]["state"], r["declared"]["reason"]) for r in replicas}


def refusals(permafrost: Cli, host: str) -> set[str]:
    """Return why another host may not go."""
    asked = ("maintenance", "enter", host, "--yes", "--output", "json")
    return {str(p["code"]) for p in problems(permafrost.run(*asked, expect=3))}


def host_facts(text: str, host: str) -> dict[str, Any]:
    """Return what `drift` shows of a host."""
    found: dict[str, Any] = next(h for h in json.loads(text)["hosts"] if h["name"] == host)
    return found


@pytest.mark.usefixtures("whole_again")
def test_it_is_left_and_comes_back(
    permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    host = host_of(status(), NAME)
    away = replicas_on(status(), host)
    other = next(h for h in ("lab-esx-01", "lab-esx-02", "lab-esx-03") if h != host)
    with traffic(lab, "pulse", 20, 900, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        permafrost.run("maintenance", "enter", host, "--yes", timeout=400)
        assert "OTHER_MAINTENANCE" in refusals(permafrost, other)
        lab.run("fault", "apply", "host-lost", host)
        wait_until("vCenter has lost it", lambda: not is_connected(permafrost, host), 120)
        assert permafrost.json("maintenance", "status")["hosts"][0]["connected"] is False
        plan = permafrost.json("maintenance", "exit", host, "--plan-only")
        assert {s["kind"] for s in plan["steps"]} == {
            "record-maintenance",
            "declare-out",
            "forget-maintenance",
        }
        said = permafrost.run("maintenance", "exit", host, "--yes", timeout=400).stdout
        assert f"{host} is dead" in said
        assert permafrost.json("maintenance", "status")["hosts"] == []
        assert declared(status(), away) == {("OUT", "its host died in maintenance")}
        assert {replica_state(status(), name) for name in away} == {"LOST"}
        assert refusals(permafrost, other) == {"BELOW_MIN_READY"}, "it is lost now, not away"
        lab.run("fault", "heal", "all")
        wait_until("vCenter has it again", lambda: is_connected(permafrost, host), 120)
        assert is_in_maintenance_mode(vsphere, host)
        assert powered_on(vsphere, host) == []
        permafrost.run("maintenance", "exit", host, "--yes", timeout=400)
        assert not is_in_maintenance_mode(vsphere, host)
        permafrost.run("deploy", "--yes", timeout=900)
        assert {replica_state(status(), name) for name in away} == {"ADMITTED"}
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    assert status()["healthy"]
    assert permafrost.json("receipt", "verify")["problems"] == []
