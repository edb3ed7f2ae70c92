"""The configuration of the members changes under search and insert: nobody notices.

The control takes a member away without its turn: its power is pulled while it serves, and the same
history shows it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.driver import Cli
from tests.knowledge.changing import control_by_pulled_power, nothing_noticed, site_said, turns_of
from tests.knowledge.driver import Door

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]


def test_a_configuration_goes_through_the_members_one_at_a_time(
    permafrost: Cli, folder: Path, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    """Two query nodes more, and then back: the members that have query nodes take turns."""
    with site_said(folder, "query: 4", "query: 6"):
        plan = permafrost.json("plan")
        turns = [s for s in plan["steps"] if s["detail"].startswith("in its turn")]
        assert len(turns) >= 2, plan["steps"]
        with nothing_noticed("rolling-configuration", permafrost, door, users, known):
            receipt = permafrost.json("deploy", "--yes", timeout=2400)
        assert receipt["healthy"]
        done = [name for _, name in turns_of(permafrost)][: len(turns)]
        assert done[::-1] == [s["target"] for s in turns], "in the order of the plan"
        assert permafrost.json("deploy", "--yes", timeout=1200)["changed"] == 0
    with nothing_noticed("rolling-configuration-back", permafrost, door, users, known):
        permafrost.run("deploy", "--yes", timeout=2400)


def test_a_certificate_is_renewed_on_each_member(
    permafrost: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    with nothing_noticed("renewed-certificates", permafrost, door, users, known):
        for member in ("lab-knowledge-02", "lab-knowledge-01"):
            permafrost.run("converge", member, "--renew-certificate", "--yes", timeout=1800)
    latest = turns_of(permafrost)[0]
    permafrost.run("deploy", "--yes", timeout=1800)
    assert turns_of(permafrost)[0] == latest, "a deployment finds them configured so"
    assert permafrost.json("deploy", "--yes", timeout=1200)["changed"] == 0


def test_control_without_turns_clients_notice(
    permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    control_by_pulled_power(permafrost, lab, door, users, known)
