"""The runbooks' state machine: some hundred steps in every check, thousands of runs in soak."""

from __future__ import annotations

import pytest

from tests.properties.machines import Runs, in_parts, run_machine
from tests.properties.runbook_machine import Runbooks


@pytest.mark.parametrize("runs", in_parts(Runs(15, 12), Runs(250, 25), parts=12))
def test_runbooks_in_any_order(runs: Runs, commit_seed: int) -> None:
    run_machine(Runbooks, runs, commit_seed)
