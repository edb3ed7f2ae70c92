"""The runbooks' state machine: some hundred steps in every check, thousands of runs in soak."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.runbook_machine import Runbooks

SOAK_RUNS, SOAK_PARTS = 250, 12


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Runbooks,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # A failure is told with its seed; shrinking such long stories takes minutes.
            phases=[Phase.explicit, Phase.generate],
            print_blob=True,
        ),
    )


def test_runbooks_in_any_order() -> None:
    run(examples=15, steps=12)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(SOAK_PARTS))
def test_runbooks_in_any_order_at_length(part: int) -> None:
    @seed(part)
    def once() -> None:
        run(SOAK_RUNS, 25)

    once()
