"""Three levels of force at an hour when others are away: refused without, done with just enough.

What is waived is said in the plan, logged, and told in the receipt. The control of what it costs:
with the last replica of an endpoint away its clients are refused, and nobody else's are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.driver import Cli, VCenter, losses, traffic, wait_until
from tests.acceptance.test_faults_in_runbooks import fails
from tests.acceptance.test_maintenance import bring_back, host_of, is_in_maintenance_mode
from tests.acceptance.versions import Versions, old_alone, pulse

pytestmark = pytest.mark.soak

On = Callable[[str], Any]
Status = Callable[[], dict[str, Any]]
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
FLOOR = 2
BODY = {"text_input": "who?", "sampling_parameters": '{"max_tokens": 1}'}


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli, lab: Cli, versions: Versions) -> Iterator[None]:
    """Faults healed, every host and replica back, the old checkpoint alone."""
    yield
    lab.run("fault", "heal", "all")
    wait_until("edges answer", lambda: all_up(permafrost), 120, every_s=1)
    for edge in permafrost.json("status")["edges"]:
        if edge["state"] != "UP":
            permafrost.run("converge", edge["name"], "--yes", expect=None, timeout=400)
    bring_back(permafrost, 400)
    for name in PULSE:
        if replica_state(permafrost.json("status"), name) != "ADMITTED":
            permafrost.run("undrain", name, "--yes", expect=None)
    old_alone(permafrost, versions)


def all_up(permafrost: Cli) -> bool:
    """Whether every edge answers; one that routes otherwise than it should says so, as DOWN."""
    edges = permafrost.json("status")["edges"]
    return all(e["state"] == "UP" or e["reason"].startswith("sends ") for e in edges)


def forced(permafrost: Cli, level: str, *args: str) -> tuple[str, dict[str, Any], list[str]]:
    """Run a command under a level; return what it said, its receipt, and what it waived."""
    done = permafrost.run(*args, "--force", level, "--yes", timeout=600)
    run = permafrost.json("history", "--limit", "1")["operations"][0]
    assert run["state"] == "done"
    receipt = json.loads(Path(run["receipt"]).read_text(encoding="utf-8"))
    before = receipt["before"]
    assert before["force"] == level
    for waived in before["waived"]:
        assert f"waived: {waived}" in " ".join(done.stdout.split()), done.stdout
        assert waived in done.stderr, "logged"
    assert f"force {level} of {receipt['owner']}" in done.stderr or not before["waived"]
    assert permafrost.json("receipt", "verify")["problems"] == []
    return done.stdout, receipt, before["waived"]


def below(serving: int) -> str:
    """Return how a floor that is not kept is said."""
    return f"min_ready {FLOOR} of pulse: {serving} others serve"


def asked(client: httpx.Client, document: dict[str, Any], name: str) -> int:
    """Return the status that one request gets."""
    url = f"https://{endpoint(document, name)['address']}/v2/models/{name}/generate"
    return client.post(url, json=BODY).status_code


def test_of_a_drain(
    permafrost: Cli, lab: Cli, status: Status, client: httpx.Client, tmp_path: Path
) -> None:
    with traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        permafrost.run("drain", PULSE[0], "--yes")
        assert fails(permafrost, "drain", PULSE[1], status=3)["code"] == "DRAIN_BELOW_MIN_READY"
        _, receipt, waived = forced(permafrost, "degraded", "drain", PULSE[1])
        assert waived == [below(1)]
        told = [s["evidence"] for s in receipt["steps"] if s["kind"] == "declare-draining"]
        assert ("degraded", [below(1)]) in [(t.get("force"), t.get("waived")) for t in told]
        asked_for = ("drain", PULSE[2], "--force", "degraded")
        assert fails(permafrost, *asked_for, status=3)["code"] == "DRAIN_BELOW_MIN_READY"
        assert replica_state(status(), PULSE[2]) == "ADMITTED"
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), "one serves: nobody is lost"
    _, _, waived = forced(permafrost, "outage", "drain", PULSE[2])
    assert waived == [below(0)]
    seen = status()
    assert not seen["healthy"]
    assert asked(client, seen, "pulse") == 503, "the control: it is an outage"
    assert asked(client, seen, "chat") == 200
    for name in PULSE:
        permafrost.run("undrain", name, "--yes")
    assert asked(client, status(), "pulse") == 200


def test_of_a_drain_while_an_edge_is_silent(
    permafrost: Cli, lab: Cli, status: Status, on: On
) -> None:
    standby = next(e["name"] for e in status()["edges"] if not e["holds_vip"])
    lab.run("fault", "apply", "machine-freeze", standby)
    wait_until("it is seen", lambda: not all_up(permafrost), 60)
    assert fails(permafrost, "drain", PULSE[1], status=4)["code"] == "EDGE_UNREACHABLE"
    told = fails(permafrost, "drain", PULSE[1], "--force", "outage", status=4)
    assert (told["code"], told["path"]) == ("EDGE_UNREACHABLE", standby)
    assert replica_state(status(), PULSE[1]) == "ADMITTED"
    _, _, waived = forced(permafrost, "unseen", "drain", PULSE[1])
    assert waived == [f"edges that do not answer: {standby}"]
    assert replica_state(status(), PULSE[1]) == "DRAINED"
    lab.run("fault", "heal", "all")
    wait_until("it answers again", lambda: all_up(permafrost), 120, every_s=1)
    wait_until("it is seen that it was not told", lambda: not keeps_away(on, standby), 30)
    permafrost.run("drain", PULSE[1], "--yes")
    assert keeps_away(on, standby), "the same command again tells it"


def keeps_away(on: On, edge: str) -> bool:
    """Whether an edge itself says that it sends the replica nothing new."""
    table = on(edge).check_output("echo 'show stat' | permafrost-haproxy").splitlines()
    (row,) = [row for row in table if row.startswith(f"pulse_a,{PULSE[1]},")]
    return ",DRAIN," in row or ",MAINT," in row


def test_of_a_maintenance(
    permafrost: Cli, lab: Cli, status: Status, vsphere: VCenter, tmp_path: Path
) -> None:
    host = host_of(status(), PULSE[1])
    enter = ("maintenance", "enter", host)
    with traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        permafrost.run("drain", PULSE[0], "--yes")
        assert fails(permafrost, *enter, status=3)["code"] == "BELOW_MIN_READY"
        assert permafrost.json("maintenance", "status")["hosts"] == []
        _, _, waived = forced(permafrost, "degraded", *enter)
        assert waived == [below(1)]
        assert is_in_maintenance_mode(vsphere, host)
        other = ("maintenance", "enter", host_of(status(), PULSE[2]), "--force", "unseen")
        assert "OTHER_MAINTENANCE" in fails(permafrost, *other, status=3)["code"]
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    permafrost.run("maintenance", "exit", host, "--yes", timeout=400)
    permafrost.run("undrain", PULSE[0], "--yes")
    assert status()["healthy"]


def test_of_the_switch_back(
    permafrost: Cli, lab: Cli, status: Status, versions: Versions, client: httpx.Client
) -> None:
    """The edge that is silent goes on with the other version; `status` and `converge` end that."""
    permafrost.run("upgrade", "pulse", "--to", versions.new, "--yes", timeout=600)
    standby = next(e["name"] for e in status()["edges"] if not e["holds_vip"])
    lab.run("fault", "apply", "machine-freeze", standby)
    wait_until("it is seen", lambda: not all_up(permafrost), 60)
    for level in ([], ["--force", "degraded"], ["--force", "outage"]):
        told = fails(permafrost, "rollback", "pulse", *level, status=3)
        assert (told["code"], told["path"]) == ("EDGE_UNREACHABLE", standby), told
    assert pulse(permafrost)["live_checkpoint"] == versions.new
    said, _, waived = forced(permafrost, "unseen", "rollback", "pulse")
    assert waived == [f"edges that do not answer: {standby}"]
    assert f"permafrost converge {standby}" in " ".join(said.split())
    assert pulse(permafrost)["live_checkpoint"] == versions.old
    lab.run("fault", "heal", "all")
    wait_until("it answers again", lambda: all_up(permafrost), 120, every_s=1)
    assert "sends pulse to slot b, live is a" in json.dumps(status())
    assert not status()["healthy"]
    permafrost.run("converge", standby, "--yes", timeout=400)
    assert status()["healthy"]


def test_of_a_switch_back_that_not_all_are_ready_for(
    permafrost: Cli, on: On, versions: Versions
) -> None:
    permafrost.run("upgrade", "pulse", "--to", versions.new, "--yes", timeout=600)
    on(PULSE[1]).check_output("systemctl stop triton-a.service")
    try:
        told = fails(permafrost, "rollback", "pulse", status=3)
        assert (told["code"], told["path"]) == ("SLOT_NOT_READY", "pulse")
        assert PULSE[1] in told["message"]
        _, _, waived = forced(permafrost, "degraded", "rollback", "pulse")
        assert [w.partition(":")[0] for w in waived] == ["pulse"]
        assert pulse(permafrost)["live_checkpoint"] == versions.old
    finally:
        on(PULSE[1]).check_output("systemctl start triton-a.service")
    permafrost.run("drain", PULSE[1], "--yes")
    permafrost.run("undrain", PULSE[1], "--yes")
