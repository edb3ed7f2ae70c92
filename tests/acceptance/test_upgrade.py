"""Another checkpoint beside the live one under load, and back: nobody notices, nobody is wronged.

Each answer is held to the tokens of the checkpoint that it names. The control switches the edges
by hand to a slot that has other bytes than its answers say, and the same checker must see it.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, losses, traffic, wait_until
from tests.acceptance.versions import Versions, old_alone

pytestmark = pytest.mark.soak

Status = Callable[[], dict[str, Any]]
On = Callable[[str], Any]
EDGES = ("lab-edge-01", "lab-edge-02")
REPLICAS = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
RATE, AT_MOST_S = 60, 600


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli, versions: Versions) -> Iterator[None]:
    """Whatever a scenario leaves: the old checkpoint serves alone again, from slot a."""
    yield
    old_alone(permafrost, versions)


def answered_by(client: httpx.Client, address: str, pin: str = "") -> tuple[int, str]:
    """Ask once; return the status and the checkpoint that the answer names."""
    headers = {"permafrost-checkpoint": pin} if pin else {}
    body = {"text_input": "who?", "sampling_parameters": '{"max_tokens": 1}'}
    answer = client.post(f"https://{address}/v2/models/pulse/generate", json=body, headers=headers)
    return answer.status_code, answer.headers["permafrost-checkpoint"]


def test_an_upgrade_and_its_way_back_cost_nobody_anything(
    permafrost: Cli,
    lab: Cli,
    shell: Callable[..., Any],
    status: Status,
    client: httpx.Client,
    versions: Versions,
    tmp_path: Path,
) -> None:
    """Killed between the edges' switch and its evidence, and finished, on the way."""
    with ExitStack() as stack:
        load = stack.enter_context(
            traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl", *versions.also)
        )
        chat = stack.enter_context(
            traffic(lab, "chat", 0.3, AT_MOST_S, 0.5, tmp_path / "chat.jsonl")
        )
        load.await_steady()
        load.mark()
        env = {**permafrost.env, "PERMAFROST_CRASH_AT": "upgrade:cut-over:after"}
        Cli(permafrost.program, env).run(
            "upgrade", "pulse", "--to", versions.new, "--yes", expect=-signal.SIGKILL
        )
        load.mark()
        run = permafrost.json("history", "--limit", "1")["operations"][0]
        assert (run["state"], run["interrupted"]) == ("paused", True)
        done = permafrost.json("resume", run["operation"], "--yes")
        assert done["state"] == "done"
        found = endpoint(status(), "pulse")
        assert (found["live_checkpoint"], found["slot"]) == (versions.new, "b")
        assert found["kept"] == {"slot": "a", "checkpoint": versions.old}
        assert answered_by(client, found["address"]) == (200, versions.new)
        assert answered_by(client, found["address"], versions.old) == (200, versions.old)
        assert permafrost.json("plan")["steps"] == []
        shell("pulumi preview --non-interactive --expect-no-changes")
        load.mark()
        back = permafrost.json("rollback", "pulse", "--yes")
        load.mark()
        assert [s["kind"] for s in back["steps"]] == ["cut-over"]
        assert endpoint(status(), "pulse")["live_checkpoint"] == versions.old
        load.end()
        chat.end()
        summaries = [load.finish(), chat.finish()]
    assert [losses(s) for s in summaries] == [(0, 0, 0)] * 2, summaries
    pulse = summaries[0]
    assert pulse["duplicated"] == 0
    assert set(pulse["checkpoints"]) == {versions.old, versions.new}
    assert min(pulse["checkpoints"].values()) >= 100, pulse["checkpoints"]
    assert min(pulse["in_flight_at"].values()) >= 150, pulse["in_flight_at"]
    for path in (done["receipt"], back["receipt"]):
        receipt = json.loads(Path(path).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["environment"]) == ("done", "lab")
    assert permafrost.json("receipt", "verify")["problems"] == []


def test_an_upgrade_killed_while_a_slot_loads_is_taken_back(
    permafrost: Cli, status: Status, on: On, versions: Versions
) -> None:
    env = {**permafrost.env, "PERMAFROST_CRASH_AT": "upgrade:prove-slot:before"}
    Cli(permafrost.program, env).run(
        "upgrade", "pulse", "--to", versions.new, "--yes", expect=-signal.SIGKILL
    )
    run = permafrost.json("history", "--limit", "1")["operations"][0]
    assert permafrost.json("abort", run["operation"], "--yes")["state"] == "aborted"
    found = endpoint(status(), "pulse")
    assert (found["live_checkpoint"], found["kept"]) == (versions.old, None)
    for name in REPLICAS:
        assert not on(name).service("triton-b.service").is_running
    refused = permafrost.run("rollback", "pulse", "--yes", "--output", "json", expect=3).stderr
    assert json.loads(refused)[0]["code"] == "ROLLBACK_NOTHING_KEPT"


def test_control_a_slot_with_other_bytes_than_it_says_is_caught(
    permafrost: Cli, lab: Cli, on: On, versions: Versions, tmp_path: Path
) -> None:
    """One replica's slot b has the old checkpoint under the new one's name; edges go there."""
    permafrost.run("upgrade", "pulse", "--to", versions.new, "--yes")
    host = on(REPLICAS[0])
    told = json.dumps({"a": versions.old, "b": versions.new})
    config = "/var/lib/permafrost/slots/b/models/pulse/config.pbtxt"
    with traffic(
        lab, "pulse", 20, AT_MOST_S, 0.5, tmp_path / "control.jsonl", *versions.also
    ) as load:
        load.await_steady()
        # What the product refuses, done by hand: the old slot answers under the new one's name.
        host.check_output(
            "printf '%s' '"
            + json.dumps({"a": versions.new, "b": versions.new})
            + "' | /usr/local/sbin/permafrost-haproxy --slots"
        )
        for edge in EDGES:
            routes = {"chat": "a", "pulse": "a"}
            on(edge).check_output(
                f"printf '%s' '{json.dumps(routes)}' | /usr/local/sbin/permafrost-haproxy --slots"
            )
        wait_until(
            "the checker has something to find",
            lambda: sum(r["outcome"] == "wrong" for r in load.records()) >= 5,
            60,
        )
        assert not permafrost.json("status")["healthy"], "edges that route otherwise are shown"
        host.check_output(f"printf '%s' '{told}' | /usr/local/sbin/permafrost-haproxy --slots")
        load.end()
        summary = load.finish()
    assert host.file(config).contains(versions.new)
    assert losses(summary)[2] >= 5, summary
    permafrost.run("deploy", "--yes", timeout=600)
    assert permafrost.json("status")["healthy"]
