"""Which runs of a state machine a part of soak makes: its own, and the same ones each time."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.properties.machines import Runs, in_parts, run_machine

seen: list[int] = []


class Numbers(RuleBasedStateMachine):
    """Remembers what it was told."""

    @rule(number=st.integers(0, 10**9))
    def hear(self, number: int) -> None:
        """One step."""
        seen.append(number)


class Refusing(RuleBasedStateMachine):
    """Its judge is never content."""

    @rule()
    def fail(self) -> None:
        """One step."""
        raise AssertionError("caught")


def heard(part: int, commit_seed: int) -> list[int]:
    seen.clear()
    run_machine(Numbers, Runs(20, 5, part), commit_seed)
    return list(seen)


def test_a_part_makes_the_same_runs_each_time() -> None:
    assert heard(3, 7) == heard(3, 7)


def test_no_two_parts_and_no_two_commits_make_the_same_runs() -> None:
    runs = [heard(part, commit) for part in (0, 1) for commit in (7, 8)]
    assert all(a != b for i, a in enumerate(runs) for b in runs[:i])


def test_what_the_judge_raises_is_raised() -> None:
    with pytest.raises(AssertionError, match="caught"):
        run_machine(Refusing, Runs(1, 1), 0)


def test_the_parts_are_left_to_soak() -> None:
    quick, *parts = in_parts(Runs(2, 8), Runs(250, 20), 2)
    assert (quick.values[0], quick.marks) == (Runs(2, 8), ())
    assert [p.values[0] for p in parts] == [Runs(250, 20, 0), Runs(250, 20, 1)]
    assert all([m.name for m in p.marks] == ["soak"] for p in parts)
