"""Hypothesis state machines as tests: a few runs in every check, many in parts in soak.

Which runs a check makes, the commit chooses (``--hypothesis-seed``); those of a part in soak, the
commit and the part, so that no two parts repeat each other and a part that failed fails again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

TOLD = (Phase.explicit, Phase.generate)
SHRUNK = (*TOLD, Phase.shrink)


@dataclass(frozen=True)
class Runs:
    """So many runs of at most so many steps; ``part`` is none in a quick check."""

    count: int
    steps: int
    part: int | None = None


def in_parts(quick: Runs, soak: Runs, parts: int) -> list[Any]:
    """Return what a machine's one test is parametrised with: the quick check, and soak's parts."""
    each = [replace(soak, part=part) for part in range(parts)]
    soaked = [pytest.param(r, id=f"part-{r.part}", marks=pytest.mark.soak) for r in each]
    return [pytest.param(quick, id="quick"), *soaked]


def run_machine(
    machine: type[RuleBasedStateMachine], runs: Runs, commit_seed: int, *, shrinks: bool = False
) -> None:
    """Run a machine; raise what its judge raises.

    A failure is told with its steps. ``shrinks``: they are made fewer first, which takes minutes
    where each run is a long story.
    """
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        _seeded(machine, runs.part, commit_seed),
        settings=settings(
            max_examples=runs.count,
            stateful_step_count=runs.steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=SHRUNK if shrinks else TOLD,
            print_blob=True,
        ),
    )


def _seeded(
    machine: type[RuleBasedStateMachine], part: int | None, commit_seed: int
) -> type[RuleBasedStateMachine]:
    """Return a class of its own: the seed is read from the machine, from no function around."""
    if part is None:
        return machine
    made = type(machine.__name__, (machine,), {"__module__": machine.__module__})
    return seed(commit_seed * 1000 + part)(made)
