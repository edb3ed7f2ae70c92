"""A node configured by hand while an operation of a person is unfinished on it.

Refused, and what the refusal says to do is done by the words of its own hint. Not refused where
the command is what mends the node for the operation.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.driver import Cli, VCenter, wait_until
from tests.acceptance.killing import killed, latest
from tests.acceptance.test_faults_in_runbooks import fails, problems
from tests.acceptance.test_maintenance import (
    bring_back,
    host_of,
    is_in_maintenance_mode,
    powered_on,
    replicas_on,
)
from tests.acceptance.versions import Versions, old_alone, pulse

pytestmark = pytest.mark.soak

On = Callable[[str], Any]
Status = Callable[[], dict[str, Any]]
NAME, ELSEWHERE, OTHER = "lab-pulse-02", "lab-pulse-03", "lab-chat-01"
EDGE = "lab-edge-01"


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli) -> Iterator[None]:
    """Whatever a scenario leaves is taken back, and who is away by a person comes back."""
    yield
    bring_back(permafrost, 400)
    if replica_state(permafrost.json("status"), NAME) != "ADMITTED":
        permafrost.run("undrain", NAME, "--yes", expect=None)


def commands_of(hint: str) -> dict[str, list[str]]:
    """Return the commands that a hint says, by their verb."""
    found = [shlex.split(told) for told in re.findall(r"`permafrost ([^`]*)`", hint)]
    return {words[0]: words for words in found}


def refused(permafrost: Cli, operation: str, node: str) -> dict[str, list[str]]:
    """Fail unless a convergence of the node is refused for the operation; return the ways out."""
    before = latest(permafrost)
    waits = permafrost.json("show", operation)
    told = fails(permafrost, "converge", node, status=3)
    assert (told["code"], told["path"]) == ("OPERATION_UNFINISHED", operation)
    assert f"is {waits['state']} at step {waits['step']}" in told["message"], told
    said = commands_of(told["hint"])
    assert list(said) == ["resume", "abort", "converge"], told["hint"]
    assert said["converge"][1:] == [node]
    assert latest(permafrost) == before, "nothing was begun"
    return said


def test_of_a_killed_drain(permafrost: Cli, status: Status) -> None:
    """The replica that it drains, and any edge: that was told."""
    operation = killed(permafrost, "drain:await-idle:before", "drain", NAME, "--yes")
    refused(permafrost, operation, EDGE)
    out = refused(permafrost, operation, NAME)
    assert replica_state(status(), NAME) == "DRAINING"
    assert permafrost.json("converge", NAME, "--check", timeout=300)["receipt"] is None
    assert permafrost.json(*out["abort"], "--yes")["state"] == "aborted"
    permafrost.json(*out["converge"], "--yes", timeout=300)
    assert replica_state(status(), NAME) == "ADMITTED"


def test_of_a_killed_maintenance(permafrost: Cli, status: Status, vsphere: VCenter) -> None:
    """What stands on the host; a replica elsewhere is kept by the maintenance that has begun."""
    host = host_of(status(), NAME)
    here = replicas_on(status(), host)
    at = "maintenance-enter:record-maintenance:after"
    operation = killed(permafrost, at, "maintenance", "enter", host, "--yes")
    for node in here:
        out = refused(permafrost, operation, node)
    assert fails(permafrost, "converge", ELSEWHERE, status=3)["code"] == "MAINTENANCE_IN_PROGRESS"
    assert replica_state(status(), ELSEWHERE) == "ADMITTED"
    assert permafrost.json(*out["resume"], "--yes", timeout=400)["state"] == "done"
    assert is_in_maintenance_mode(vsphere, host)
    told = fails(permafrost, *out["converge"], status=3)
    assert powered_on(vsphere, host) == [], "nobody starts what is away"
    assert told["code"] == "MAINTENANCE_IN_PROGRESS"
    permafrost.run("maintenance", "exit", host, "--yes", timeout=400)
    permafrost.json(*out["converge"], "--yes", timeout=400)
    assert status()["healthy"]


def test_of_a_killed_upgrade(permafrost: Cli, status: Status, versions: Versions) -> None:
    """Every replica of the endpoint, and the edges; another endpoint's may be configured."""
    asked = ("upgrade", "pulse", "--to", versions.new, "--yes")
    operation = killed(permafrost, "upgrade:cut-over:before", *asked)
    for node in (NAME, ELSEWHERE, EDGE):
        out = refused(permafrost, operation, node)
    permafrost.json("converge", OTHER, "--yes", timeout=400)
    assert pulse(permafrost)["live_checkpoint"] == versions.old
    assert permafrost.json(*out["abort"], "--yes", timeout=400)["state"] == "aborted"
    permafrost.json(*out["converge"], "--yes", timeout=400)
    assert endpoint(status(), "pulse")["kept"] is None
    old_alone(permafrost, versions)


def test_an_edge_that_does_not_answer_may_be_mended_for_it(
    permafrost: Cli, status: Status, on: On, versions: Versions
) -> None:
    """Neither way out gets past the edge: the convergence comes first, and then either goes."""
    standby = next(e["name"] for e in status()["edges"] if not e["holds_vip"])
    asked = ("upgrade", "pulse", "--to", versions.new, "--yes")
    operation = killed(permafrost, "upgrade:cut-over:before", *asked)
    refused(permafrost, operation, standby)
    machine = on(standby)
    machine.check_output("systemctl stop haproxy.service")
    wait_until("it is seen", lambda: edge_state(status(), standby) != "UP", 60)
    done = permafrost.run(
        "resume", operation, "--yes", "--output", "json", expect=None, timeout=400
    )
    assert done.returncode in (3, 4), done.stdout
    (told, *_) = problems(done)
    assert told["code"] in ("EDGE_UNREACHABLE", "EDGE_SEES_IT_DOWN"), told
    assert standby in told["message"] + told["path"]
    assert pulse(permafrost)["live_checkpoint"] == versions.old
    mended = permafrost.json("converge", standby, "--yes", timeout=400)
    assert mended["receipt"]
    assert machine.service("haproxy.service").is_running
    assert edge_state(status(), standby) == "UP"
    refused(permafrost, operation, NAME)
    assert permafrost.json("resume", operation, "--yes", timeout=400)["state"] == "done"
    assert pulse(permafrost)["live_checkpoint"] == versions.new
    old_alone(permafrost, versions)


def edge_state(document: dict[str, Any], name: str) -> str:
    """Return how an edge is, out of a status document."""
    return next(str(e["state"]) for e in document["edges"] if e["name"] == name)


def test_only_a_member_is_rebuilt(permafrost: Cli) -> None:
    """On a site without a knowledge tier: told what it is, before what is unfinished."""
    operation = killed(permafrost, "drain:await-idle:before", "drain", NAME, "--yes")
    told = fails(permafrost, "rebuild", NAME, status=3)
    assert (told["code"], told["path"]) == ("NOT_A_MEMBER", NAME)
    assert permafrost.json("abort", operation, "--yes")["state"] == "aborted"
