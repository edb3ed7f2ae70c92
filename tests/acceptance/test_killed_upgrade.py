"""An upgrade killed (-9) at every kind of step, before its effect and after it, under load.

Finished in one case, taken back in the other; nobody is lost, and no edge ever has fewer than
``min_ready`` replicas to send requests to.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driver import Cli, losses, traffic, wait_until
from tests.acceptance.kills import BESIDE, PERHAPS_TRUE, ROLLING, ROLLING_ASKED
from tests.acceptance.rotation import watched
from tests.acceptance.versions import Versions, old_alone, pulse

On = Callable[[str], Any]
RATE, AT_MOST_S, WORK_S = 30, 1200, 900
MOMENTS = {"before": "resume", "after": "abort"}
ONLY_ROLLING = [kind for kind in ROLLING if kind not in BESIDE]


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli, versions: Versions) -> Iterator[None]:
    """The old checkpoint serves alone again, from slot a: side by side that is one switch."""
    yield
    old_alone(permafrost, versions)


@dataclass(frozen=True)
class Case:
    """One upgrade, killed at one moment."""

    permafrost: Cli
    lab: Cli
    on: On
    versions: Versions
    folder: Path

    def killed(self, step: str, when: str, *asked: str) -> str | None:
        """Begin the upgrade; return the operation that the kill leaves.

        None where all steps of a kind that only waits found it true: nobody could be killed.
        """
        env = {**self.permafrost.env, "PERMAFROST_CRASH_AT": f"upgrade:{step}:{when}"}
        done = Cli(self.permafrost.program, env).run(
            "upgrade", "pulse", "--to", self.versions.new, *asked, "--yes",
            expect=None, timeout=WORK_S,
        )  # fmt: skip
        run = self.permafrost.json("history", "--limit", "1")["operations"][0]
        if done.returncode == 0 and step in PERHAPS_TRUE:
            journal = self.permafrost.json("show", run["operation"])["journal"]
            assert {e["phase"] for e in journal if e["kind"] == step} == {"ALREADY"}
            return None
        assert done.returncode == -signal.SIGKILL, (done.stdout[-2000:], done.stderr[-2000:])
        assert (run["state"], run["interrupted"]) == ("paused", True), run
        return str(run["operation"])

    def recover(self, verb: str, operation: str) -> None:
        """Finish it or take it back."""
        ended = self.permafrost.json(verb, operation, "--yes", timeout=WORK_S)
        assert ended["state"] == {"resume": "done", "abort": "aborted"}[verb]

    def run(self, step: str, when: str, *asked: str) -> bool:
        """Kill and recover under load; return whether the new checkpoint is to serve now."""
        verb, versions = MOMENTS[when], self.versions
        floor = min_ready(self.permafrost)
        with (
            watched(self.on, "pulse_a", "pulse_b") as rotation,
            traffic(
                self.lab, "pulse", RATE, AT_MOST_S, 0.5, self.folder / "pulse.jsonl",
                *versions.also,
            ) as load,
        ):  # fmt: skip
            load.await_steady()
            began = time.time()
            operation = self.killed(step, when, *asked)
            if operation is not None:
                self.recover(verb, operation)
            ended = time.time()
            load.end()
            summary = load.finish()
        assert losses(summary) == (0, 0, 0), summary
        assert summary["duplicated"] == 0
        assert summary["outcomes"]["ok"] >= 50, summary
        assert set(summary["checkpoints"]) <= {versions.old, versions.new}
        fewest = rotation.fewest_up(began, ended)
        assert min(fewest.values()) >= floor, fewest
        return operation is None or verb == "resume"


def min_ready(permafrost: Cli) -> int:
    """Return how many replicas of pulse must serve at any moment."""
    return int(pulse(permafrost)["min_ready"])


@pytest.fixture
def case(permafrost: Cli, lab: Cli, on: On, versions: Versions, tmp_path: Path) -> Case:
    return Case(permafrost, lab, on, versions, tmp_path)


# Not a sample of it in ``make test`` yet: a slot that an upgrade leaves empty keeps the name of
# what it held in its configuration, which the next convergence changes.
@pytest.mark.soak
@pytest.mark.parametrize("when", list(MOMENTS))
@pytest.mark.parametrize("step", BESIDE)
def test_side_by_side_killed_and_recovered(step: str, when: str, case: Case) -> None:
    is_new = case.run(step, when)
    found, versions = pulse(case.permafrost), case.versions
    served = (found["live_checkpoint"], found["kept"])
    if is_new:
        assert served == (versions.new, {"slot": "a", "checkpoint": versions.old})
    else:
        assert served == (versions.old, None)
    wait_until("all serve", lambda: case.permafrost.json("status")["healthy"], 60, every_s=1)


@pytest.mark.soak
@pytest.mark.parametrize("step", ONLY_ROLLING)
def test_rolling_killed_and_recovered(step: str, case: Case) -> None:
    """Each kind once, finished and taken back in turn: an exchange takes minutes."""
    when = list(MOMENTS)[ONLY_ROLLING.index(step) % 2]
    is_new = case.run(step, when, *ROLLING_ASKED)
    found, versions = pulse(case.permafrost), case.versions
    assert found["live_checkpoint"] == (versions.new if is_new else versions.old)
    assert found["kept"] is None
    wait_until("all serve", lambda: case.permafrost.json("status")["healthy"], 60, every_s=1)
    assert case.permafrost.json("receipt", "verify")["problems"] == []
