"""What the reboot gate says of an update, and what vCenter's power events say afterwards.

Under load, nothing lost: memory and extraConfig power-cycle, a grown disk, a folder, a lost
reservation and a missing tag do not, another template replaces, delete first, one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyVmomi import vim

from tests.acceptance.driver import Cli, VCenter, traffic

Shell = Callable[..., Any]
PULSE = [f"lab-pulse-{n:02}" for n in (1, 2, 3)]
CHAT = [f"lab-chat-{n:02}" for n in (1, 2, 3)]
POWER = (vim.event.VmPoweredOffEvent, vim.event.VmPoweredOnEvent)
LIFE = (vim.event.VmRemovedEvent, vim.event.VmClonedEvent, vim.event.VmCreatedEvent)
UP_S = 1800.0
pytestmark = pytest.mark.soak


@pytest.fixture
def rewrite(site_file: Path) -> Callable[[Callable[[dict[str, Any]], None]], None]:
    """Change the site file."""

    def change(edit: Callable[[dict[str, Any]], None]) -> None:
        values = yaml.safe_load(site_file.read_text(encoding="utf-8"))
        edit(values)
        site_file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    return change


@contextmanager
def load_on(lab: Cli, folder: Path, name: str, *endpoints: str) -> Iterator[dict[str, Any]]:
    """Ask the endpoints all the while; afterwards the dictionary holds what became of it."""
    rates = {"pulse": 30.0, "chat": 0.5}
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        loads = {
            e: stack.enter_context(
                traffic(lab, e, rates[e], 3600, 0.5, folder / f"{name}-{e}.jsonl")
            )
            for e in endpoints
        }
        for each in loads.values():
            each.await_steady()
        yield found
        for each in loads.values():
            each.end()
        found |= {e: each.finish() for e, each in loads.items()}


def nothing_lost(summaries: dict[str, Any]) -> bool:
    return all(
        s["outcomes"][kind] == 0
        for s in summaries.values()
        for kind in ("failed", "cut", "wrong", "refused")
    )


def events(vsphere: VCenter, name: str, since: datetime) -> list[str]:
    """Return what vCenter says happened to a VM: off, on, removed, made."""
    by_time = vim.event.EventFilterSpec.ByTime(beginTime=since)
    found = vsphere.content.eventManager.QueryEvents(vim.event.EventFilterSpec(time=by_time))
    kinds = {POWER[0]: "off", POWER[1]: "on", LIFE[0]: "removed", LIFE[1]: "made", LIFE[2]: "made"}
    told = []
    for event in sorted(found, key=lambda e: (e.createdTime, e.key)):
        kind = next((word for cls, word in kinds.items() if isinstance(event, cls)), "")
        if kind and event.vm is not None and event.vm.name == name:
            told.append(kind)
    return told


def effects(permafrost: Cli, names: list[str]) -> dict[str, str]:
    plan = permafrost.json("plan", timeout=UP_S)
    return {name: plan["vms"][name]["effect"] for name in names}


def test_memory_and_extra_config_power_cycle_and_nothing_else_does(
    shell: Shell,
    permafrost: Cli,
    lab: Cli,
    vsphere: VCenter,
    rewrite: Callable[[Callable[[dict[str, Any]], None]], None],
    tmp_path: Path,
) -> None:
    def more(values: dict[str, Any]) -> None:
        values["inference"]["pulse"]["vm"]["memory_mib"] += 256
        values["inference"]["chat"]["gpu"]["mmio_gib"] *= 2

    rewrite(more)
    said = effects(permafrost, [*PULSE, *CHAT, "lab-edge-01"])
    assert said == {**dict.fromkeys([*PULSE, *CHAT], "power-cycled"), "lab-edge-01": "untouched"}
    since = datetime.now(UTC)
    with load_on(lab, tmp_path, "cycled", "pulse", "chat") as summaries:
        typed = shell("pulumi up --yes --non-interactive", timeout=UP_S)
    for name in (*PULSE, *CHAT):
        assert events(vsphere, name, since) == ["off", "on"], name
        assert re.search(rf"{name}: power-cycled \((memory|extraConfig)", typed.stdout), name
    assert events(vsphere, "lab-edge-01", since) == []
    assert nothing_lost(summaries), summaries
    assert permafrost.json("status")["healthy"]


def test_disk_folder_reservation_and_tag_leave_every_vm_running(
    shell: Shell,
    permafrost: Cli,
    lab: Cli,
    vsphere: VCenter,
    rewrite: Callable[[Callable[[dict[str, Any]], None]], None],
    tmp_path: Path,
) -> None:
    def more(values: dict[str, Any]) -> None:
        values["inference"]["pulse"]["vm"]["disk_gib"] += 5
        folder = values["vcenter"].get("folder", "permafrost")
        values["vcenter"]["folder"] = f"{folder}-two"

    rewrite(more)
    lost = vsphere.vm(PULSE[0])
    half = vim.ResourceAllocationInfo(reservation=lost.config.hardware.memoryMB // 2)
    spec = vim.vm.ConfigSpec(memoryAllocation=half, memoryReservationLockedToMax=False)
    vsphere.await_task(lost.ReconfigVM_Task(spec))
    role = next(
        f for f in vsphere.content.customFieldsManager.field if f.name == "permafrost-lab-role"
    )
    vsphere.content.customFieldsManager.SetField(lost, role.key, "somebody's")
    drift = {d["code"] for d in permafrost.json("status")["drift"]}
    assert drift == {"DRIFT_RESERVATION_LOST", "DRIFT_OWNER_UNMARKED"}
    everyone = [*PULSE, *CHAT, "lab-edge-01", "lab-edge-02"]
    assert effects(permafrost, everyone) == dict.fromkeys(everyone, "untouched")
    since = datetime.now(UTC)
    with load_on(lab, tmp_path, "untouched", "pulse") as summaries:
        receipt = permafrost.json("deploy", "--yes", timeout=UP_S)
    assert {s["kind"] for s in receipt["steps"]} >= {"update-vm", "mark"}
    happened = {name: events(vsphere, name, since) for name in everyone}
    assert not any(happened.values()), happened
    assert nothing_lost(summaries), summaries
    assert permafrost.json("status")["drift"] == []
    for name in PULSE:
        vm = vsphere.vm(name)
        assert vm.parent.name.endswith("-two")
        assert vm.config.memoryAllocation.reservation == vm.config.hardware.memoryMB


def test_another_template_replaces_each_replica_delete_first_one_at_a_time(
    shell: Shell,
    permafrost: Cli,
    lab: Cli,
    vsphere: VCenter,
    rewrite: Callable[[Callable[[dict[str, Any]], None]], None],
    tmp_path: Path,
) -> None:
    (old,) = (v for v in vsphere.all(vim.VirtualMachine) if v.config.template)
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), template=True, powerOn=False)
    vsphere.await_task(old.CloneVM_Task(old.parent, "debian-13-two", spec))

    def other(values: dict[str, Any]) -> None:
        values["vcenter"]["template"] = "debian-13-two"

    rewrite(other)
    assert effects(permafrost, PULSE) == dict.fromkeys(PULSE, "replaced")
    before = {name: vsphere.vm(name)._moId for name in PULSE}
    since = datetime.now(UTC)
    with load_on(lab, tmp_path, "replaced", "pulse") as summaries:
        # The edges have the same template; moving the clients' address cuts what they hold, so
        # that is another `up`, at another time.
        shell(
            "pulumi up --yes --non-interactive --target '**InferenceVm**::lab-pulse-*'",
            timeout=UP_S,
        )
    assert nothing_lost(summaries), summaries
    after = {name: vsphere.vm(name)._moId for name in PULSE}
    assert all(before[name] != after[name] for name in PULSE)
    spans = [life(vsphere, name, before[name], since) for name in PULSE]
    spans.sort()
    for (_, back), (gone, _) in pairwise(spans):
        assert back < gone, "one at a time: the next goes when the one before is on again"
    typed = shell("pulumi up --yes --non-interactive", timeout=UP_S)
    assert "lab-edge-01: replaced" in typed.stdout
    edges = sorted(edge_life(vsphere, name, since) for name in ("lab-edge-01", "lab-edge-02"))
    assert edges[0][1] < edges[1][0], "never both edges at once"
    assert permafrost.json("plan", timeout=UP_S)["steps"] == [], "an untargeted plan is clean"
    assert permafrost.json("status")["healthy"]


def life(vsphere: VCenter, name: str, old: str, since: datetime) -> tuple[datetime, datetime]:
    """Return when a VM's old self was switched off and its new self on; delete comes first."""
    by_time = vim.event.EventFilterSpec.ByTime(beginTime=since)
    found = vsphere.content.eventManager.QueryEvents(vim.event.EventFilterSpec(time=by_time))
    mine = [e for e in found if e.vm is not None and e.vm.name == name]
    off = [e.createdTime for e in mine if isinstance(e, POWER[0]) and e.vm.vm._moId == old]
    removed = [e.createdTime for e in mine if isinstance(e, LIFE[0])]
    on = [e.createdTime for e in mine if isinstance(e, POWER[1]) and e.vm.vm._moId != old]
    assert len(off) == len(removed) == len(on) == 1, [type(e).__name__ for e in mine]
    assert off[0] <= removed[0] <= on[0], "its old self is deleted before the new one is started"
    return off[0], on[0]


def edge_life(vsphere: VCenter, name: str, since: datetime) -> tuple[datetime, datetime]:
    """Return when an edge went and came."""
    by_time = vim.event.EventFilterSpec.ByTime(beginTime=since)
    found = vsphere.content.eventManager.QueryEvents(vim.event.EventFilterSpec(time=by_time))
    mine = [e for e in found if e.vm is not None and e.vm.name == name]
    off = [e.createdTime for e in mine if isinstance(e, POWER[0])]
    on = [e.createdTime for e in mine if isinstance(e, POWER[1])]
    assert len(off) == len(on) == 1, [type(e).__name__ for e in mine]
    return off[0], on[0]
