"""A collection is loaded, and one of its channels led on one member alone: members mend that.

Nobody is told to: no deployment, no runbook. What is asserted is that no client notices.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tests.acceptance.driver import Cli, wait_until
from tests.knowledge.changing import require_unnoticed
from tests.knowledge.driver import COLLECTION, Door
from tests.knowledge.test_losses import await_first_coordinators, observed, ready

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]

DEALS = 40
"""More than one deal in two is what is wanted; so many in a row without it do not happen."""
UNIT = "permafrost-knowledge-spread"
SPREAD_S, LEFT_S = 240.0, 90.0


def alone(permafrost: Cli) -> list[dict[str, object]]:
    """Return what is led on one member alone."""
    found: list[dict[str, object]] = permafrost.json("status")["knowledge"]["exposed"]
    return found


def ready_but_for_them(permafrost: Cli) -> bool:
    """Return whether the tier is whole, whoever keeps leaders apart."""
    problems = permafrost.json("status")["knowledge"]["problems"]
    return all(UNIT in problem["message"] for problem in problems)


def dealt_alone(permafrost: Cli, door: Door, users: dict[str, str]) -> None:
    """Load the collection until a channel is led on one member alone."""
    root = door.client("root", users["root"])
    for _ in range(DEALS):
        root.release_collection(COLLECTION, timeout=60)
        root.load_collection(COLLECTION, replica_number=2, timeout=300)
        wait_until("the tier is ready", lambda: ready_but_for_them(permafrost), 120, 1)
        if alone(permafrost):
            return
    raise AssertionError("the lot never fell so")


@contextmanager
def nobody_keeps_them(permafrost: Cli, lab: Cli) -> Iterator[None]:
    """Have no member do it for a block."""
    members = permafrost.json("status")["knowledge"]["members"]
    faults = [
        lab.run("fault", "apply", "service-stop", f"{m['name']}:{UNIT}.service").stdout.split()[-1]
        for m in members
        if UNIT in m["units"]
    ]
    assert len(faults) > 1
    try:
        yield
    finally:
        for fault in faults:
            lab.run("fault", "heal", fault)


def test_members_spread_what_the_lot_put_on_one_and_nobody_notices(
    permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    await_first_coordinators(permafrost)
    done = permafrost.json("history", "--limit", "1")
    dealt_alone(permafrost, door, users)
    with observed("kept-apart", door, users, known) as history:
        began = history.now()
        wait_until(
            "leaders are apart", lambda: not alone(permafrost) and ready(permafrost), SPREAD_S, 2
        )
        ended = history.now()
    print(f"kept-apart: after {ended - began:.0f} s")
    require_unnoticed(history, began, ended)
    assert permafrost.json("history", "--limit", "1") == done, "nobody told them"
    # The control: it is they who do it.
    with nobody_keeps_them(permafrost, lab):
        dealt_alone(permafrost, door, users)
        before, end = alone(permafrost), time.monotonic() + LEFT_S
        while time.monotonic() < end:
            assert alone(permafrost) == before
            time.sleep(5)
    await_first_coordinators(permafrost)
