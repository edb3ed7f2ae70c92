"""What is done to a deployed tier under load, and how members' disks and VMs are lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.acceptance.driver import Cli, vcenter, wait_until
from tests.knowledge.driver import Door, load_on, unused_keys
from tests.knowledge.history import History, judge
from tests.knowledge.test_losses import (
    active_member,
    await_first_coordinators,
    observed,
    ready,
)

AT_MOST_S = 15.0
"""Within which stock clients are to have their answer."""
NOTICED_S = 2.0
"""A gap of which an application would speak; clients ask several times a second."""
DATA = "var/lib/permafrost-data"


@contextmanager
def nothing_noticed(
    event: str, permafrost: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> Iterator[None]:
    """Search and insert for a block: nothing fails, nothing is wrong, nothing is lost."""
    await_first_coordinators(permafrost)
    with observed(event, door, users, known) as history:
        began = history.now()
        yield
        ended = history.now()
    require_unnoticed(history, began, ended)
    wait_until("the tier is ready again", lambda: ready(permafrost), 300, 2)


def require_unnoticed(history: History, began: float, ended: float) -> None:
    """Fail unless each request that began in a window, and has ended since, was answered right."""
    for kind in ("search", "insert"):
        verdict = judge(history.of(kind, began, ended), began, ended)
        assert verdict.ok > 0, verdict.sentence()
        assert verdict.wrong == verdict.failed == 0, f"{kind}: {verdict.sentence()}"
        assert verdict.outage_s < AT_MOST_S, f"{kind}: {verdict.sentence()}"


def is_noticed(history: History, began: float, ended: float) -> bool:
    """Whether clients noticed anything in a window: the controls must show it."""
    verdicts = [judge(history.of(k, began, ended), began, ended) for k in ("search", "insert")]
    print(f"the control: {'; '.join(v.sentence() for v in verdicts)}")
    return any(v.failed or v.wrong or v.outage_s > NOTICED_S for v in verdicts)


def control_by_pulled_power(
    permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    """The member of all active coordinators goes with nothing done before: clients notice it.

    Its power is pulled. A machine that shuts down, or processes of Milvus that are killed, are
    hardly noticed any more: what they had registered goes with them.
    """
    await_first_coordinators(permafrost)
    member = active_member(permafrost.json("status")["knowledge"])
    with load_on(door, users, known, unused_keys()) as history:
        wait_until("clients are at work", lambda: len(history.of("search")) > 50, 60)
        began = history.now()
        lab.run("fault", "apply", "machine-kill", member)
        wait_until("it has been a while", lambda: history.now() - began > AT_MOST_S, 300)
        ended = history.now()
    assert is_noticed(history, began, ended)
    permafrost.run("deploy", "--yes", timeout=1800)
    await_first_coordinators(permafrost)


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


def codes(stderr: str) -> set[str]:
    """Return the codes of a refusal in JSON; libraries may have logged before it."""
    lines = stderr.splitlines()
    problems = json.loads("\n".join(lines[lines.index("[") :]))
    return {str(p["code"]) for p in problems}


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
        wait_until(f"{member} is off", lambda: vm.runtime.powerState == "poweredOff", 240)
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
