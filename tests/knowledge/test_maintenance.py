"""Each member's host goes and comes back under searches and inserts: nothing is wrong or lost.

The control leaves the hand-over out: the power of the member of all active coordinators is pulled
while it serves, and the same history must show it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.driver import Cli
from tests.knowledge.changing import control_by_pulled_power, require_unnoticed
from tests.knowledge.driver import Door
from tests.knowledge.test_losses import await_first_coordinators, observed

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]

MEMBERS = [f"lab-knowledge-0{i}" for i in (1, 2, 3)]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_goes_and_comes_back(
    member: str, permafrost: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    await_first_coordinators(permafrost)
    status = permafrost.json("status")["knowledge"]
    host = next(m["host"] for m in status["members"] if m["name"] == member)
    with observed(f"maintenance-{member}", door, users, known) as history:
        began = history.now()
        entered = permafrost.json("maintenance", "enter", host, "--yes", timeout=1800)
        left = permafrost.json("maintenance", "exit", host, "--yes", timeout=1800)
        ended = history.now()
    require_unnoticed(history, began, ended)
    kinds = [s["kind"] for s in entered["steps"]]
    assert kinds.index("hand-over") < kinds.index("shut-down") < kinds.index("await-tier")
    for document in (entered, left):
        receipt = json.loads(Path(document["receipt"]).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["environment"]) == ("done", "lab")


def test_control_without_the_hand_over_clients_notice(
    permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    control_by_pulled_power(permafrost, lab, door, users, known)
