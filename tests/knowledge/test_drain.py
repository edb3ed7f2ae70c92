"""A member is taken out of service on its running machine, and comes back: nobody notices.

The control leaves the drain out: the member of all active coordinators loses its power; the same
history must show it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.driver import Cli
from tests.knowledge.changing import codes, control_by_pulled_power, nothing_noticed
from tests.knowledge.driver import Door
from tests.knowledge.test_losses import await_first_coordinators

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]
MEMBERS = [f"lab-knowledge-0{i}" for i in (1, 2, 3)]


def serving_on(permafrost: Cli, member: str) -> set[str]:
    """Return the processes of Milvus that run on a member."""
    members = permafrost.json("status")["knowledge"]["members"]
    units = next(m["units"] for m in members if m["name"] == member)
    return {u for u, state in units.items() if u.startswith("milvus-") and state == "active"}


def stores_on(permafrost: Cli, member: str) -> set[str]:
    """Return the stores that run on a member."""
    members = permafrost.json("status")["knowledge"]["members"]
    units = next(m["units"] for m in members if m["name"] == member)
    others = ("milvus-", "permafrost-")
    return {u for u, state in units.items() if not u.startswith(others) and state == "active"}


def replicas_on(permafrost: Cli) -> list[list[str]]:
    """Return for each replica of a collection the members whose query nodes have it."""
    return [r["members"] for r in permafrost.json("status")["knowledge"]["replicas"]]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_is_drained_and_comes_back(
    member: str, permafrost: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    another = next(m for m in MEMBERS if m != member)
    await_first_coordinators(permafrost)
    served = serving_on(permafrost, member)
    assert served, "the control: something serves there"
    alone = [on for on in replicas_on(permafrost) if on == [member]]
    with nothing_noticed(f"drained-{member}", permafrost, door, users, known):
        drained = permafrost.json("drain", member, "--reason", "its disk", "--yes", timeout=1800)
        assert drained["state"] == "DRAINED"
        assert serving_on(permafrost, member) == set()
        assert stores_on(permafrost, member) == {"etcd", "kafka", "minio"}
        (gave,) = [s["evidence"] for s in drained["steps"] if s["kind"] == "hand-over"]
        assert bool(gave.get("restarted")) == bool(alone), "only for what it had alone"
        assert all(on and member not in on for on in replicas_on(permafrost))
        refused = permafrost.run(
            "converge", another, "--yes", "--output", "json", expect=3, timeout=600
        )
        assert codes(refused.stderr) == {"MEMBER_DRAINED"}
        back = permafrost.json("undrain", member, "--yes", timeout=1800)
        assert back["state"] == "ADMITTED"
    assert serving_on(permafrost, member) == served
    assert "hand-over" in [step["kind"] for step in drained["steps"]]
    for document in (drained, back):
        receipt = json.loads(Path(document["receipt"]).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["environment"]) == ("done", "lab")


def test_control_without_the_drain_clients_notice(
    permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    control_by_pulled_power(permafrost, lab, door, users, known)
