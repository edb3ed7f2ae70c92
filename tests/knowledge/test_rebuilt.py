"""A member whose disk was replaced, and one whose VM is gone, come back under search and insert.

The control starts a member with an empty disk and does nothing else: it never comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.chain import Chain
from tests.acceptance.driver import Cli, machine, wait_until
from tests.knowledge.changing import codes, lose_disk, lose_vm
from tests.knowledge.driver import Door
from tests.knowledge.test_losses import await_first_coordinators, observed, ready

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]
TWO, THREE = "lab-knowledge-02", "lab-knowledge-03"
DROP_IN = "/etc/systemd/system/etcd.service.d/impatient.conf"
IMPATIENT = "[Service]\nRestartSec=200ms\nRestartSteps=0\nRestartMaxDelaySec=infinity\n"


def etcd_of(permafrost: Cli, member: str) -> str:
    status = permafrost.json("status")["knowledge"]
    units = next(m["units"] for m in status["members"] if m["name"] == member)
    return str(units.get("etcd", "unknown"))


@contextmanager
def tries_again_at_once(lab: Cli, folder: Path, member: str) -> Iterator[None]:
    """Have a member's etcd try to start all the time, not every few seconds as it does.

    So it starts in whatever state its convergence leaves the disk in for a moment: once a member
    that had been let go, and was expected as a new one, began with settings of its first start.
    """
    inside = machine(lab, folder / "state", member)
    inside.check_output("mkdir -p %s", str(Path(DROP_IN).parent))
    inside.check_output("printf %%s %s > %s", IMPATIENT, DROP_IN)
    inside.check_output("systemctl daemon-reload")
    try:
        yield
    finally:
        inside.check_output("rm -r %s", str(Path(DROP_IN).parent))
        inside.check_output("systemctl daemon-reload")


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
        with tries_again_at_once(lab, folder, member):
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
