"""A member whose disk was replaced, and one whose VM is gone, come back under search and insert.

The control starts a member with an empty disk and does nothing else: it never comes back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.chain import Chain
from tests.acceptance.driver import Cli, wait_until
from tests.knowledge.changing import codes, lose_disk, lose_vm
from tests.knowledge.driver import Door
from tests.knowledge.test_losses import await_first_coordinators, observed, ready

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]
TWO, THREE = "lab-knowledge-02", "lab-knowledge-03"


def etcd_of(permafrost: Cli, member: str) -> str:
    status = permafrost.json("status")["knowledge"]
    units = next(m["units"] for m in status["members"] if m["name"] == member)
    return str(units.get("etcd", "unknown"))


@pytest.mark.parametrize("member", [TWO, THREE])
def test_a_replaced_disk_is_filled_from_the_others(
    member: str,
    permafrost: Cli,
    lab: Cli,
    folder: Path,
    door: Door,
    users: dict[str, str],
    known: np.ndarray,
) -> None:
    await_first_coordinators(permafrost)
    with observed(f"disk-replaced-{member}", door, users, known):
        lose_disk(lab, folder, member)
        wait_until("it answers", lambda: etcd_of(permafrost, member) != "unknown", 180, 3)
        assert not ready(permafrost), "the control: alone it does not come back"
        plan = permafrost.json("rebuild", member, "--plan-only")
        assert [s["store"] for s in plan["stores"]] == ["etcd", "object_store", "queue"]
        assert all(member not in s["from"] and len(s["from"]) == 2 for s in plan["stores"])
        done = permafrost.json("rebuild", member, "--yes", timeout=2400)
        assert ready(permafrost)
    told = Chain(permafrost, folder / "state/receipts").told(done["receipt"])
    assert (told["command"], told["target"]) == ("rebuild", member)
    again = permafrost.run("rebuild", member, "--plan-only", "--output", "json", expect=3)
    assert codes(again.stderr) == {"KNOWLEDGE_NOTHING_LOST"}
    assert permafrost.json("deploy", "--yes", timeout=1200)["changed"] == 0
    assert permafrost.json("converge", member, "--check", timeout=600)["changed"] == 0


def test_a_lost_vm_is_made_anew_and_filled_from_the_others(
    permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    await_first_coordinators(permafrost)
    with observed("vm-lost", door, users, known):
        lose_vm(lab, THREE)
        plan = permafrost.json("plan")
        said = [n for n in plan["notes"] if n.startswith(f"{THREE} comes back empty")]
        assert len(said) == 3, plan["notes"]
        permafrost.run("deploy", "--yes", timeout=2400)
        assert ready(permafrost)
    status = permafrost.json("status")["knowledge"]
    assert status["quorums"]["etcd"]["answering"] == 3
    assert permafrost.json("deploy", "--yes", timeout=1200)["changed"] == 0
