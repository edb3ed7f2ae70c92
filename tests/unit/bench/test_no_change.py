"""The arithmetic of the bench of a deploy with nothing to do, and what it refuses to count."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from tests.bench import no_change
from tests.bench.no_change import Result, Round, measure, run, seconds, table_of


def test_ratios_are_of_the_same_round() -> None:
    """A round that the machine slowed down as a whole moves no ratio."""
    rounds = [Round(8, 2, 5), Round(80, 20, 50), Round(8, 2, 6)]
    found = Result.of(rounds)
    assert found == Result(up=8, playbook=2, deploy=6, ratio=0.5, to_up_alone=0.625)
    (row,) = [line for line in text(found).splitlines() if "0.50" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["8.0", "2.0", "6.0", "0.50", "0.62"]


def text(result: Result) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table_of(result))
    return console.export_text()


def test_each_is_measured_in_turn_and_the_first_of_each_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, done = [0.0], []

    def work(name: str, takes: float) -> None:
        done.append(name)
        # The first of each is slow: caches are cold.
        now[0] += takes if done.count(name) > 1 else 100

    monkeypatch.setattr(no_change.time, "monotonic", lambda: now[0])
    rounds = measure(
        lambda: work("up", 4), lambda: work("playbook", 1), lambda: work("deploy", 2), rounds=2
    )
    assert rounds == [Round(4, 1, 2)] * 2
    assert done == ["up", "playbook", "deploy"] * 3


def test_what_fails_is_no_measurement() -> None:
    run((sys.executable, "-c", "pass"), {})
    with pytest.raises(RuntimeError, match="changes were expected"):
        run((sys.executable, "-c", "import sys; sys.exit('no changes were expected')"), {})
    with pytest.raises(ValueError, match="broken"):
        seconds(lambda: int("broken"))
