"""The upgrades' state machine: a few runs in every check, thousands in soak; and its judge."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.upgrade_machine import Upgrades

SOAK_RUNS, SOAK_PARTS = 250, 12


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Upgrades,
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


def test_upgrades_in_any_order() -> None:
    run(examples=2, steps=8)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(SOAK_PARTS))
def test_upgrades_in_any_order_at_length(part: int) -> None:
    @seed(part)
    def once() -> None:
        run(SOAK_RUNS, 20)

    once()
