"""A member goes that has all query nodes of a replica, as Milvus may deal them: nobody notices.

A spare query node of a member that stays takes the replica over before the member goes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.acceptance.driver import Cli, wait_until
from tests.knowledge.changing import require_unnoticed
from tests.knowledge.driver import COLLECTION, Door
from tests.knowledge.test_losses import await_first_coordinators, observed, ready

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]

DEALS = 40
"""One deal in three is what is wanted; so many in a row without it do not happen."""
SPARE = "milvus-query-spare"


def on_one_member(status: dict[str, Any], member: str) -> list[str]:
    """Return the replicas that a member has alone."""
    return [r["replica"] for r in status["replicas"] if r["members"] == [member]]


def dealt_to(member: str, permafrost: Cli, door: Door, users: dict[str, str]) -> None:
    """Load the collection until a member has all query nodes of one replica."""
    root = door.client("root", users["root"])
    for _ in range(DEALS):
        root.release_collection(COLLECTION, timeout=60)
        root.load_collection(COLLECTION, replica_number=2, timeout=300)
        if on_one_member(permafrost.json("status")["knowledge"], member):
            wait_until("the tier is ready", lambda: ready(permafrost), 120, 1)
            return
    raise AssertionError("the lot never fell so")


def spares_of(status: dict[str, Any]) -> dict[str, str]:
    return {m["name"]: m["units"][SPARE] for m in status["members"] if SPARE in m["units"]}


@pytest.mark.parametrize("member", ["lab-knowledge-03", "lab-knowledge-02"])
def test_a_member_goes_that_has_a_replica_alone(
    member: str, permafrost: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    await_first_coordinators(permafrost)
    dealt_to(member, permafrost, door, users)
    status = permafrost.json("status")["knowledge"]
    host = next(m["host"] for m in status["members"] if m["name"] == member)
    other = "lab-knowledge-02" if member == "lab-knowledge-03" else "lab-knowledge-03"
    with observed(f"one-member-{member}", door, users, known) as history:
        began = history.now()
        entered = permafrost.json("maintenance", "enter", host, "--yes", timeout=1800)
        away = permafrost.json("status")["knowledge"]
        left = permafrost.json("maintenance", "exit", host, "--yes", timeout=1800)
        ended = history.now()
    require_unnoticed(history, began, ended)
    assert spares_of(away) == {other: "active"}
    assert all(r["members"] == [other] for r in away["replicas"]), away["replicas"]
    back = permafrost.json("status")["knowledge"]
    assert back["ready"], back["problems"]
    assert spares_of(back) == {}
    for document in (entered, left):
        receipt = json.loads(Path(document["receipt"]).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["environment"]) == ("done", "lab")
