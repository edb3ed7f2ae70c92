"""A member lost without a word, a role killed, while clients search and insert.

What is measured goes to ``.cache/knowledge/<event>.txt``; what is asserted is what may never be:
an acknowledged insert that is gone, a tier that does not come back whole.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests.acceptance.driver import ROOT, Cli, vcenter, wait_until
from tests.knowledge.driver import Door, keys_there, load_on, unused_keys
from tests.knowledge.history import Asked, History, judge, lost

pytestmark = pytest.mark.own_lab

BEFORE_S, AFTER_S = 8.0, 45.0
LONGEST_OUTAGE_S = 30.0
"""Of a lab whose three hosts share two cores; the goal on hardware is 10."""
SETTLED_S = 30.0
"""Within which replicas that were loading have loaded."""
REPORTS = ROOT / ".cache" / "knowledge"


@contextmanager
def observed(
    event: str,
    door: Door,
    users: dict[str, str],
    known: np.ndarray,
    before_s: float = BEFORE_S,
) -> Iterator[History]:
    """Load the tier for a block, then say and check what became of everything.

    What was asked is written down also where the block fails: a lab is dear. ``before_s``: for so
    long it is looked at before.
    """
    # Of its own each time: what an earlier run inserted is no proof of what this one did.
    first = unused_keys()
    with load_on(door, users, known, first) as history:
        time.sleep(before_s)
        began = history.now()
        try:
            yield history
            time.sleep(max(0.0, AFTER_S - (history.now() - began)))
        finally:
            ended = history.now()
            written(event, history, began, ended)
    lines = written(event, history, began, ended)
    for kind in ("search", "insert"):
        before = judge(history.of(kind, 0, began), 0, began)
        assert before.wrong == before.failed == 0, f"before it: {before.sentence()}"
    inserts = history.of("insert")
    acknowledged = sum(a.outcome == "ok" for a in inserts)
    assert acknowledged > 0
    gone = not_there(door, users, inserts, first)
    lines.append(f"{event}: {acknowledged} inserts acknowledged, {len(gone)} not read at once")
    end = time.monotonic() + SETTLED_S
    # A read that missed them is one finding, a loss another.
    while gone and time.monotonic() < end:
        time.sleep(1)
        gone = not_there(door, users, inserts, first)
    lines.append(f"{event}: {len(gone)} lost")
    (REPORTS / f"{event}.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    assert gone == []
    for kind in ("search", "insert"):
        verdict = judge(history.of(kind, began, ended), began, ended)
        assert verdict.ok > 0, verdict.sentence()
        assert verdict.outage_s < LONGEST_OUTAGE_S, verdict.sentence()


def written(event: str, history: History, began: float, ended: float) -> list[str]:
    """Write each request and a line for each kind and each error; return the lines."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    history.save(REPORTS / f"{event}.jsonl")
    lines = []
    for kind in ("search", "insert"):
        asked = history.of(kind, began, ended)
        lines.append(f"{event}: {kind}: {judge(asked, began, ended).sentence()}")
        said = Counter((a.outcome, a.said) for a in asked if a.outcome != "ok")
        lines += [f"    {n} {outcome}: {text}" for (outcome, text), n in said.most_common(5)]
    (REPORTS / f"{event}.txt").write_text("\n".join(lines) + "\n")
    return lines


def not_there(door: Door, users: dict[str, str], inserts: list[Asked], first: int) -> list[int]:
    """Return the keys of acknowledged inserts that a consistent read does not find."""
    root = door.client("root", users["root"])
    count = max(a.key for a in inserts) - first + 1
    return lost(inserts, keys_there(root, first, count))


def ready(permafrost: Cli) -> bool:
    return bool(permafrost.json("status")["knowledge"]["ready"])


def active_member(knowledge: dict[str, Any]) -> str:
    """Return the member of the active coordinators; empty while they are not on one."""
    active = {c["active"] for c in knowledge["coordinators"]}
    return str(active.pop() or "") if len(active) == 1 else ""


def await_first_coordinators(permafrost: Cli) -> None:
    """Coordinators that took over beside query nodes give way to the first ones, once back.

    Returns with the tier whole: those that have just become active answer a moment later. So do
    leaders that the lot has put on one member alone, as the collection was loaded, or a loss.
    """

    def has_come() -> bool:
        status = permafrost.json("status")["knowledge"]
        is_apart = status["exposed"] == []
        return is_apart and bool(status["ready"]) and active_member(status).endswith("-01")

    wait_until("the tier is whole, first coordinators active, leaders apart", has_come, 300, 3)
    dealt = permafrost.json("status")["knowledge"]["replicas"]
    print("replicas stand on", [replica["members"] for replica in dealt])


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize(
    "unit",
    ["milvus-query-1", "milvus-coordinators", "milvus-proxies", "milvus-data", "etcd", "kafka",
     "minio"],
)  # fmt: skip
def test_a_role_is_killed(
    unit: str, permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    await_first_coordinators(permafrost)
    status = permafrost.json("status")["knowledge"]
    member = next(m["name"] for m in status["members"] if unit in m["units"])
    if unit == "milvus-coordinators":
        member = active_member(status)
    if unit == "etcd":
        member = status["quorums"]["etcd"]["leader"]
    with observed(f"killed-{unit}", door, users, known):
        lab.run("fault", "apply", "service-kill", f"{member}:{unit}.service")
    wait_until("the tier is ready again", lambda: ready(permafrost), 180, 2)


@pytest.mark.soak
@pytest.mark.parametrize("member", [f"lab-knowledge-0{i}" for i in (1, 2, 3)])
def test_the_power_of_a_vm_is_pulled(
    member: str, permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    """Its host stays: vSphere brings the VM back, or a deployment does."""
    await_first_coordinators(permafrost)
    with vcenter(lab.json("status")) as vsphere:
        boots = vsphere.vm(member).runtime.bootTime
    try:
        with observed(f"vm-killed-{member}", door, users, known):
            lab.run("fault", "apply", "machine-kill", member)
    finally:
        permafrost.run("deploy", "--yes", timeout=1800)
    await_first_coordinators(permafrost)
    with vcenter(lab.json("status")) as vsphere:
        assert vsphere.vm(member).runtime.bootTime != boots, "the control: it was off"
    status = permafrost.json("status")["knowledge"]
    assert status["exposed"] == [], "the next loss finds a replica that keeps its leaders"


@pytest.mark.soak
@pytest.mark.parametrize("whose", ["coordinators", "query nodes"])
def test_a_host_is_lost_without_a_word(
    whose: str, permafrost: Cli, lab: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    """The hardest ones: that of all active coordinators, and one of half of all query nodes."""
    await_first_coordinators(permafrost)
    status = permafrost.json("status")["knowledge"]
    member = active_member(status)
    units = {m["name"]: m["units"] for m in status["members"]}
    assert not any(u.startswith("milvus-query") for u in units[member])
    if whose == "query nodes":
        member = max(units, key=lambda m: sum(u.startswith("milvus-query") for u in units[m]))
    host = next(m["host"] for m in status["members"] if m["name"] == member)
    fault = ""
    try:
        with observed(f"host-lost-{whose.replace(' ', '-')}", door, users, known):
            fault = lab.run("fault", "apply", "host-lost", host).stdout.split()[-1]
        assert not ready(permafrost)
    finally:
        # Also where something was lost: the next one is to find the site whole.
        if fault:
            lab.run("fault", "heal", fault)
            permafrost.run("deploy", "--yes", timeout=1800)
    await_first_coordinators(permafrost)
