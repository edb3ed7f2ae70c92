"""The upgrades' state machine: a few runs in every check, thousands in soak."""

from __future__ import annotations

import pytest

from tests.properties.machines import Runs, in_parts, run_machine
from tests.properties.upgrade_machine import Upgrades


@pytest.mark.parametrize("runs", in_parts(Runs(2, 8), Runs(250, 20), parts=12))
def test_upgrades_in_any_order(runs: Runs, commit_seed: int) -> None:
    run_machine(Upgrades, runs, commit_seed)
