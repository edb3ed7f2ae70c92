"""The worst moment: a collection has just been loaded, badly dealt, and a member is lost.

Members have not dealt its leaders yet: each replica has one on the member that goes.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.acceptance.driver import Cli
from tests.knowledge.driver import Door
from tests.knowledge.test_kept_apart import alone, dealt_alone, nobody_keeps_them
from tests.knowledge.test_losses import await_first_coordinators, observed

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]

MOMENT_S = 1.0
"""For so long clients are at work before: members look for longer before they begin."""


def test_a_member_is_lost_before_leaders_of_a_load_were_dealt(
    permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    await_first_coordinators(permafrost)
    try:
        with nobody_keeps_them(permafrost, lab):
            dealt_alone(permafrost, door, users)
            member = str(alone(permafrost)[0]["member"])
            with observed(f"just-loaded-{member}", door, users, known, MOMENT_S):
                lab.run("fault", "apply", "machine-kill", member)
    finally:
        permafrost.run("deploy", "--yes", timeout=1800)
    await_first_coordinators(permafrost)
