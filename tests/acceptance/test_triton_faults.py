"""A Triton that hangs, dies, loses its backend or is slow, under load.

Hung, killed and dead ones are out of rotation at both edges within two seconds of the fault, as
the edges' own runtime says; from then on no request fails. Slow ones stay: never fewer than
``min_ready``. The controls take the health checks away: then clients feel it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.driver import Cli, traffic, wait_until
from tests.acceptance.edges import (
    NO_HEALTH,
    On,
    Status,
    await_new_answers,
    configured_otherwise,
)
from tests.acceptance.history import (
    LOSSLESS,
    began,
    counted,
    losses,
    lost,
    seconds,
    under_way,
)
from tests.acceptance.rotation import seconds_out, watched

pytestmark = pytest.mark.soak
Note = Callable[[str, object], None]
VICTIM = "lab-pulse-02"
UNIT = f"{VICTIM}:triton-a.service"
AT_MOST_S = 120
LIMIT_S = 2.0
CONTROL_S = 15.0
SHORT = ("--interval-ms", "50", "--max-tokens", "4", "--fresh", "--timeout-s", "20")
# Ends one process at once, as the kernel does where memory is short, and asks Triton about itself.
END_ONE = """
import http.client, json, os, signal, sys, time
def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\\0")[0].decode()
    except OSError:
        return ""
pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and command(p).endswith(sys.argv[1])]
at = time.time()
for pid in pids:
    os.kill(pid, signal.SIGKILL)
ready = 0
try:
    asked = http.client.HTTPConnection("127.0.0.1", 8000, timeout=1)
    asked.request("GET", "/v2/models/pulse/ready")
    ready = asked.getresponse().status
except OSError:
    pass
print(json.dumps({"at": at, "ended": len(pids), "ready": ready}))
"""


def hang(lab: Cli, on: On) -> float:
    """Let the whole unit stand still."""
    return seconds(lab.json("fault", "apply", "service-hang", UNIT)["applied_at"])


def kill(lab: Cli, on: On) -> float:
    """End every process of the unit."""
    return seconds(lab.json("fault", "apply", "service-kill", UNIT)["applied_at"])


def end_one(on: On, program: str) -> dict[str, Any]:
    """End the processes of one program on the victim; return when, and whether Triton is ready."""
    found: dict[str, Any] = json.loads(
        on(VICTIM).check_output("python3 -c %s %s", END_ONE, program)
    )
    assert found["ended"] >= 1, program
    return found


def out_of_memory(lab: Cli, on: On) -> float:
    """End the server itself, as the kernel does where memory is short."""
    return float(end_one(on, "tritonserver")["at"])


def dead_backend(lab: Cli, on: On) -> float:
    """End the model's backend alone: Triton goes on saying that the model is ready."""
    found = end_one(on, "triton_python_backend_stub")
    assert found["ready"] == 200, "readiness says nothing about the backend"
    return float(found["at"])


FAULTS = [hang, kill, out_of_memory, dead_backend]


@pytest.fixture(autouse=True)
def mended(lab: Cli, status: Status) -> Iterator[None]:
    """Afterwards nothing is active and the site is healthy."""
    yield
    lab.run("fault", "heal", "all")
    wait_until("the site is healthy again", lambda: status()["healthy"], 120, every_s=1)


def backend(status: Status) -> str:
    """Return the name of the backend that answers for pulse."""
    return f"pulse_{endpoint(status(), 'pulse')['slot']}"


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_out_of_rotation_within_two_seconds(
    fault: Callable[[Cli, On], float],
    lab: Cli,
    on: On,
    status: Status,
    tmp_path: Path,
    record_property: Note,
) -> None:
    file = tmp_path / "load.jsonl"
    with (
        watched(on, backend(status)) as rotation,
        traffic(lab, "pulse", 40, AT_MOST_S, 0.5, file, *SHORT) as load,
    ):
        load.await_steady()
        moment = fault(lab, on)
        await_new_answers(load, 200)
        if fault is hang:
            lab.run("fault", "heal", "all")
        load.end()
        load.finish()
        records = load.records()
    out_s = seconds_out(rotation, VICTIM, moment)
    after = [r for r in records if began(r) >= moment + LIMIT_S]
    meanwhile = [r for r in records if moment <= began(r) < moment + LIMIT_S]
    record_property("out_after_s", round(out_s, 2))
    record_property("in_flight", counted(under_way(records, moment)))
    record_property("began_within_two_seconds", counted(meanwhile))
    record_property("began_after_that", counted(after))
    assert out_s <= LIMIT_S
    assert lost(after) == []
    assert len(after) >= 100
    lost_whole = [r for r in lost(records) if r["kind"] == "whole"]
    assert lost_whole == [], "whole answers are had from another replica"


@pytest.mark.parametrize("fault", [hang, kill, dead_backend])
def test_control_without_health_checks_clients_feel_it(
    fault: Callable[[Cli, On], float],
    lab: Cli,
    on: On,
    tmp_path: Path,
    record_property: Note,
) -> None:
    limit = (*SHORT[:-1], "3")
    with (
        configured_otherwise(on, NO_HEALTH),
        traffic(lab, "pulse", 40, AT_MOST_S, 0.5, tmp_path / "load.jsonl", *limit) as load,
    ):
        load.await_steady()
        moment = fault(lab, on)
        # The length of what is looked at. One that hangs has few of them: balanced by what is
        # open, it gets a new request only when a client gives up on one of before.
        time.sleep(max(0.0, moment + CONTROL_S - time.time()))
        load.end()
        load.finish()
        felt = [r for r in lost(load.records()) if began(r) >= moment]
    record_property("new_requests_lost", len(felt))
    assert len(felt) >= 5


def test_slow_ones_stay_in_rotation(
    lab: Cli, on: On, status: Status, tmp_path: Path, record_property: Note
) -> None:
    """Every replica stands still for nine tenths of the time: slow is not gone."""
    pulse = endpoint(status(), "pulse")
    file = tmp_path / "load.jsonl"
    with (
        watched(on, backend(status)) as rotation,
        traffic(lab, "pulse", 15, AT_MOST_S, 0.5, file, "--fresh") as load,
    ):
        load.await_steady()
        for replica in pulse["replicas"]:
            lab.run("fault", "apply", "service-slow", f"{replica['name']}:triton-a.service")
        begin = time.time()
        await_new_answers(load, 200)
        end = time.time()
        lab.run("fault", "heal", "all")
        load.end()
        summary = load.finish()
    fewest = rotation.fewest_up(begin, end)
    record_property("seconds", round(end - begin, 1))
    record_property("fewest_in_rotation", fewest)
    record_property("total_ms", summary["total_ms"])
    assert min(fewest.values()) >= pulse["min_ready"], fewest
    assert losses(summary) == LOSSLESS, summary
    assert summary["outcomes"]["refused"] == 0


def test_a_backend_that_died_comes_back_by_itself(on: On, status: Status) -> None:
    dead_backend_at = end_one(on, "triton_python_backend_stub")["at"]
    wait_until(
        "it is known", lambda: replica_state(status(), VICTIM) != "ADMITTED", 20, every_s=0.5
    )
    wait_until("it serves again", lambda: replica_state(status(), VICTIM) == "ADMITTED", 60)
    assert time.time() - dead_backend_at < 60
