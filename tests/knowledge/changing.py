"""What is done to a deployed tier under load, and how members' disks and VMs are lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.acceptance.driver import Cli, vcenter, wait_until
from tests.knowledge.driver import Door
from tests.knowledge.history import judge
from tests.knowledge.test_losses import await_first_coordinators, observed, ready

AT_MOST_S = 15.0
"""Within which stock clients are to have their answer."""
DATA = "var/lib/permafrost-data"


@contextmanager
def nothing_noticed(
    event: str, permafrost: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> Iterator[None]:
    """Search and insert for a block: nothing fails, nothing is wrong, nothing is lost."""
    await_first_coordinators(permafrost)
    status = permafrost.json("status")["knowledge"]
    assert status["ready"], status["problems"]
    with observed(event, door, users, known) as history:
        began = history.now()
        yield
        ended = history.now()
        for kind in ("search", "insert"):
            verdict = judge(history.of(kind, began, ended), began, ended)
            print(f"{event}: {kind} during the change: {verdict.sentence()}")
            assert verdict.ok > 0, verdict.sentence()
            assert verdict.wrong == verdict.failed == 0, verdict.sentence()
            assert verdict.outage_s < AT_MOST_S, verdict.sentence()
    wait_until("the tier is ready again", lambda: ready(permafrost), 300, 2)


@contextmanager
def site_said(folder: Path, old: str, new: str) -> Iterator[None]:
    """Have the site file say something else for a block."""
    file = folder / "site.yaml"
    before = file.read_text()
    assert before.count(old) == 1, f"{old!r} is not once in {file}"
    file.write_text(before.replace(old, new))
    try:
        yield
    finally:
        file.write_text(before)


def turns_of(permafrost: Cli) -> list[tuple[str, str]]:
    """Return (start, member) of the configurations of members, the latest first."""
    runs = permafrost.json("history", "--limit", "60")["operations"]
    return [
        (str(r["started_at"]), str(r["command"]).removeprefix("converge "))
        for r in runs
        if str(r["command"]).startswith("converge ") and "-knowledge-" in str(r["command"])
    ]


def lose_disk(lab: Cli, folder: Path, member: str) -> None:
    """Shut a member down, take everything off its data disk, and start it again."""
    with vcenter(lab.json("status")) as vsphere:
        vm = vsphere.vm(member)
        vm.ShutdownGuest()
        wait_until(f"{member} is off", lambda: vm.runtime.powerState == "poweredOff", 120)
        disk = folder / "machines" / member / "upper" / DATA
        assert (disk / "etcd" / "data" / "member").exists(), "the control: there was something"
        for store in disk.iterdir():
            shutil.rmtree(store)
        vsphere.await_task(vm.PowerOnVM_Task())


def lose_vm(lab: Cli, member: str) -> None:
    """Cut a member's power and remove its VM with its disks, behind everybody's back."""
    with vcenter(lab.json("status")) as vsphere:
        vm: Any = vsphere.vm(member)
        vsphere.await_task(vm.PowerOffVM_Task())
        vsphere.await_task(vm.Destroy_Task())
