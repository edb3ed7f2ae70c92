"""Cut-over and rolling under load, killed on the way, and back; a canary that stops by itself.

Where the lab's devices hold both versions these ways are asked for by name. Each answer is held to
the tokens of the checkpoint that it names; the control of the checker is in ``test_upgrade``.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.driver import Cli, losses, traffic, wait_until
from tests.acceptance.test_upgrade import answered_by
from tests.acceptance.versions import Versions, old_alone, pulse

pytestmark = pytest.mark.soak

On = Callable[[str], Any]
REPLICAS = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
RATE, AT_MOST_S = 50, 900
WAYS = {
    "cut-over": ("--way", "cut-over"),
    "rolling": ("--way", "rolling", "--allow-mixed"),
}
KILLED = {"cut-over": "upgrade:cut-over:after", "rolling": "upgrade:exchange-slot:after"}


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli, versions: Versions) -> Iterator[None]:
    """The old checkpoint serves alone again, from slot a."""
    yield
    old_alone(permafrost, versions)


@pytest.fixture
def one_is_enough(site_file: Path) -> Iterator[None]:
    """Cut-over needs twice ``min_ready``: of three replicas one must be enough meanwhile."""
    text = site_file.read_text(encoding="utf-8")
    head, found, tail = text.partition("\n  pulse:")
    assert found
    assert "min_ready: 2" in tail
    site_file.write_text(head + found + tail.replace("min_ready: 2", "min_ready: 1", 1), "utf-8")
    yield
    site_file.write_text(text, encoding="utf-8")


def slots_on(on: On, name: str) -> dict[str, bool]:
    """Return which slots' servers run on a node."""
    machine = on(name)
    return {slot: machine.service(f"triton-{slot}.service").is_running for slot in "ab"}


@pytest.mark.parametrize("way", list(WAYS))
def test_an_upgrade_that_exchanges_and_its_way_back_cost_nobody_anything(
    way: str,
    permafrost: Cli,
    lab: Cli,
    on: On,
    client: httpx.Client,
    versions: Versions,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Both never run side by side on a replica; killed once, finished, then taken back."""
    if way == "cut-over":
        request.getfixturevalue("one_is_enough")
    with ExitStack() as stack:
        load = stack.enter_context(
            traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl", *versions.also)
        )
        chat = stack.enter_context(
            traffic(lab, "chat", 0.3, AT_MOST_S, 0.5, tmp_path / "chat.jsonl")
        )
        load.await_steady()
        load.mark()
        asked = ("upgrade", "pulse", "--to", versions.new, *WAYS[way])
        crashing = Cli(permafrost.program, {**permafrost.env, "PERMAFROST_CRASH_AT": KILLED[way]})
        crashing.run(*asked, "--yes", expect=-signal.SIGKILL, timeout=600)
        load.mark()
        run = permafrost.json("history", "--limit", "1")["operations"][0]
        assert (run["state"], run["interrupted"]) == ("paused", True)
        done = permafrost.json("resume", run["operation"], "--yes", timeout=600)
        assert done["state"] == "done"
        found = pulse(permafrost)
        assert (found["live_checkpoint"], found["slot"], found["kept"]) == (
            versions.new,
            "b",
            None,
        )
        assert [slots_on(on, n) for n in REPLICAS] == [{"a": False, "b": True}] * 3
        assert answered_by(client, found["address"]) == (200, versions.new)
        assert answered_by(client, found["address"], versions.old)[0] == 409
        assert permafrost.json("status")["healthy"]
        load.mark()
        back = permafrost.json("rollback", "pulse", *WAYS[way], "--yes", timeout=600)
        load.mark()
        assert pulse(permafrost)["live_checkpoint"] == versions.old
        load.end()
        chat.end()
        summaries = [load.finish(), chat.finish()]
    assert [losses(s) for s in summaries] == [(0, 0, 0)] * 2, summaries
    seen = summaries[0]
    assert seen["duplicated"] == 0
    assert set(seen["checkpoints"]) == {versions.old, versions.new}
    assert min(seen["in_flight_at"].values()) >= 100, seen["in_flight_at"]
    for path in (done["receipt"], back["receipt"]):
        receipt = json.loads(Path(path).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["requests"]["cut"]) == ("done", 0)
        assert receipt["requests"]["completed"] >= 100, receipt["requests"]
    assert permafrost.json("receipt", "verify")["problems"] == []


QUICK = ("--interval-ms", "20", "--max-tokens", "8")


@pytest.mark.parametrize("is_harmful", [False, True])
def test_a_canary_that_is_slow_stops_by_itself_and_a_good_one_goes_through(
    is_harmful: bool, permafrost: Cli, lab: Cli, versions: Versions, tmp_path: Path
) -> None:
    asked = ("upgrade", "pulse", "--to", versions.new, "--canary", "20", "--canary-for", "20")
    with (
        traffic(
            lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl", *versions.also, *QUICK
        ) as load,
        permafrost.begun(*asked, "--yes", "--output", "json") as process,
    ):
        load.await_steady()
        wait_until("the canary is watched", lambda: is_at(permafrost, "canary", process), 400)
        if is_harmful:
            # Slow, and well by each probe: one that stands still for longer ends it by its probe.
            for name in REPLICAS:
                lab.run(
                    "fault", "apply", "service-slow", f"{name}:triton-b.service",
                    "share=0.7", "period_ms=600",
                )  # fmt: skip
        try:
            out, err = process.communicate(timeout=300)
        finally:
            lab.run("fault", "heal", "all")
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    if not is_harmful:
        assert process.returncode == 0, err
        canary = next(s for s in json.loads(out)["steps"] if s["kind"] == "canary")
        assert canary["evidence"]["canary"]["requests"] >= 20
        assert pulse(permafrost)["live_checkpoint"] == versions.new
        return
    assert process.returncode == 4, (out, err)
    problem = json.loads(err[err.index("[\n") :])[0]
    assert problem["code"] == "CANARY_STOPPED"
    assert problem["message"].startswith("latency"), problem
    assert pulse(permafrost)["live_checkpoint"] == versions.old
    asked_after = sum(summary["checkpoints"].values())
    assert summary["checkpoints"].get(versions.new, 0) < 0.2 * asked_after


def is_at(permafrost: Cli, kind: str, process: subprocess.Popen[str]) -> bool:
    """Whether the latest operation is at a step of this kind."""
    assert process.poll() is None, process.communicate()
    run = permafrost.json("history", "--limit", "1")["operations"][0]
    return bool(run["state"] == "running" and run["step"].endswith(f" {kind}"))
