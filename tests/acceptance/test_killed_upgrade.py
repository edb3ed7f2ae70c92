"""An upgrade killed (-9) at every kind of step, before its effect and after it, under load.

Finished in one case, taken back in the other; nobody is lost, and no edge ever has fewer than
``min_ready`` replicas to send requests to. One case of side by side, chosen by the commit, runs in
``make test``; all of them in soak, with those of a rolling upgrade. An exchange of every replica
takes minutes: there one upgrade is killed before each kind of step in turn, and finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, losses, traffic, wait_until
from tests.acceptance.killing import killed_in_turn, killed_unless_true, recover
from tests.acceptance.kills import BESIDE, PERHAPS_TRUE, ROLLING, ROLLING_ASKED
from tests.acceptance.rotation import watched
from tests.acceptance.versions import Versions, old_alone, pulse

On = Callable[[str], Any]
RATE, AT_MOST_S = 30, 1200
MOMENTS = {"before": "resume", "after": "abort"}
ONLY_ROLLING = [kind for kind in ROLLING if kind not in BESIDE]


@pytest.fixture(autouse=True)
def as_found(permafrost: Cli, versions: Versions) -> Iterator[None]:
    """The old checkpoint serves alone again, from slot a: side by side that is one switch."""
    yield
    old_alone(permafrost, versions)


@pytest.fixture(scope="module")
def floor(permafrost: Cli) -> int:
    """How many replicas of pulse must serve at any moment."""
    return int(pulse(permafrost)["min_ready"])


@dataclass(frozen=True)
class Case:
    """One upgrade, killed and recovered under load."""

    permafrost: Cli
    lab: Cli
    on: On
    versions: Versions
    floor: int
    folder: Path

    def run(self, steps: Sequence[str], when: str, *asked: str) -> bool:
        """Kill at each kind of step in turn, and recover from the last.

        Returns whether the new checkpoint is to serve now.
        """
        verb, versions = MOMENTS[when], self.versions
        upgrade = ("upgrade", "pulse", "--to", versions.new, *asked, "--yes")
        with (
            watched(self.on, "pulse_a", "pulse_b") as rotation,
            traffic(
                self.lab, "pulse", RATE, AT_MOST_S, 0.5, self.folder / "pulse.jsonl",
                *versions.also,
            ) as load,
        ):  # fmt: skip
            load.await_steady()
            began = time.time()
            operation = self._killed(steps, when, upgrade)
            if operation is not None:
                recover(self.permafrost, verb, operation)
            ended = time.time()
            load.end()
            summary = load.finish()
        assert losses(summary) == (0, 0, 0), summary
        assert summary["duplicated"] == 0
        assert summary["outcomes"]["ok"] >= 50, summary
        assert set(summary["checkpoints"]) <= {versions.old, versions.new}
        fewest = rotation.fewest_up(began, ended)
        assert min(fewest.values()) >= self.floor, fewest
        return operation is None or verb == "resume"

    def _killed(self, steps: Sequence[str], when: str, upgrade: tuple[str, ...]) -> str | None:
        if len(steps) == 1:
            return killed_unless_true(self.permafrost, f"upgrade:{steps[0]}:{when}", *upgrade)
        return killed_in_turn(self.permafrost, "upgrade", steps, when, *upgrade)

    def healthy(self) -> dict[str, Any]:
        """Return the endpoint once everything on the site serves."""

        def seen() -> dict[str, Any] | None:
            told = self.permafrost.json("status")
            return endpoint(told, "pulse") if told["healthy"] else None

        found: dict[str, Any] = wait_until("all serve", seen, 60, every_s=1)
        return found


@pytest.fixture
def case(
    permafrost: Cli, lab: Cli, on: On, versions: Versions, floor: int, tmp_path: Path
) -> Case:
    return Case(permafrost, lab, on, versions, floor, tmp_path)


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize("when", list(MOMENTS))
@pytest.mark.parametrize("step", BESIDE)
def test_side_by_side_killed_and_recovered(step: str, when: str, case: Case) -> None:
    is_new = case.run([step], when)
    found, versions = case.healthy(), case.versions
    served = (found["live_checkpoint"], found["kept"])
    if is_new:
        assert served == (versions.new, {"slot": "a", "checkpoint": versions.old})
    else:
        assert served == (versions.old, None)


@pytest.mark.soak
@pytest.mark.parametrize("step", ONLY_ROLLING)
def test_rolling_killed_after_an_effect_and_taken_back(step: str, case: Case) -> None:
    assert not case.run([step], "after", *ROLLING_ASKED)
    found = case.healthy()
    assert (found["live_checkpoint"], found["kept"]) == (case.versions.old, None)


@pytest.mark.soak
def test_rolling_killed_before_each_effect_and_finished(case: Case) -> None:
    """What only waits is left out: side by side has it, and a run that finds it true goes on."""
    steps = [kind for kind in ROLLING if kind not in PERHAPS_TRUE]
    assert case.run(steps, "before", *ROLLING_ASKED)
    found = case.healthy()
    assert (found["live_checkpoint"], found["kept"]) == (case.versions.new, None)
    assert case.permafrost.json("receipt", "verify")["problems"] == []
