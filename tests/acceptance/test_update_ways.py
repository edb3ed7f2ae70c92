"""A typed ``pulumi up`` that changes every replica in some way, under load: nothing is lost.

Each time the gate's list is compared with vCenter's power events: who was to be power-cycled was,
one after the other, and nobody else. CPUs: ``test_update``; another template: ``test_template``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, VCenter, losses, traffic
from tests.acceptance.powerevents import FORETOLD, happened, latest, power_events, turns
from tests.acceptance.rotation import watched
from tests.acceptance.tagging import Tags

pytestmark = pytest.mark.soak

On = Callable[[str], Any]
Shell = Callable[..., Any]
Status = Callable[[], dict[str, Any]]
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
RATE, AT_MOST_S, UP_S = 60, 1500, 1200
LITTLE_MIB = 1024


def with_pulse(text: str, key: str, value: int) -> str:
    """Return the site file with another number of pulse."""
    head, mark, tail = text.partition("\n  pulse:")
    changed, count = re.subn(rf"\b{key}: \d+", f"{key}: {value}", tail, count=1)
    assert count == 1, f"the site file says what {key} of pulse is"
    return head + mark + changed


def with_folder(text: str, name: str) -> str:
    """Return the site file with another folder for all VMs."""
    bare = re.sub(r"\n  folder: \S+", "", text)
    changed, count = re.subn(r"\nvcenter:\n", f"\nvcenter:\n  folder: {name}\n", bare)
    assert count == 1
    return changed


def mmio_gib(vm: Any) -> int:
    """Return the address space for devices that a VM asks for."""
    found = {o.key: o.value for o in vm.config.extraConfig}
    return int(found["pciPassthru.64bitMMIOSizeGB"])


def disk_gib(vm: Any) -> int:
    """Return the size of a VM's first disk."""
    devices = vm.config.hardware.device
    disk = next(d for d in devices if isinstance(d, vim.vm.device.VirtualDisk))
    return int(disk.capacityInKB) >> 20


@dataclass(frozen=True)
class Change:
    """What is read of a VM, what it is to be then, and how that is said in the site file."""

    reads: Callable[[Any], Any]
    wants: Callable[[Any], Any]
    edit: Callable[[str, Any], str]
    effect: str


CHANGES = {
    "memory": Change(
        lambda vm: vm.config.hardware.memoryMB,
        lambda now: 3584 if now != 3584 else 3072,
        lambda text, to: with_pulse(text, "memory_mib", to),
        "power-cycled",
    ),
    "extraConfig": Change(
        mmio_gib,
        lambda now: 512 if now != 512 else 256,
        lambda text, to: with_pulse(text, "mmio_gib", to),
        "power-cycled",
    ),
    "disk": Change(
        disk_gib,
        lambda now: now + 1,
        lambda text, to: with_pulse(text, "disk_gib", to),
        "untouched",
    ),
    "folder": Change(
        lambda vm: vm.parent.name,
        lambda now: "permafrost-two" if now == "permafrost" else "permafrost",
        with_folder,
        "untouched",
    ),
}


@dataclass
class Scene:
    """A deployed site under load, and what became of its VMs meanwhile."""

    permafrost: Cli
    lab: Cli
    on: On
    vsphere: VCenter
    status: Status
    folder: Path

    def foretold(self) -> dict[str, str]:
        """Return what the gate says of each VM that an ``up`` would change."""
        plan = self.permafrost.json("plan")
        return {name: verdict["effect"] for name, verdict in plan["vms"].items()}

    def everybody(self) -> list[str]:
        """Return the VMs of the site."""
        seen = self.status()
        replicas = [r["name"] for e in seen["endpoints"] for r in e["replicas"]]
        return replicas + [e["name"] for e in seen["edges"]]

    def under_load(self, work: Callable[[], object], foretold: dict[str, str]) -> None:
        """Do it under load: nothing is lost, and to each VM what was foretold has happened."""
        names, pulse = self.everybody(), endpoint(self.status(), "pulse")
        since = latest(self.vsphere)
        with ExitStack() as stack:
            rotation = stack.enter_context(watched(self.on, f"pulse_{pulse['slot']}"))
            load = stack.enter_context(
                traffic(self.lab, "pulse", RATE, AT_MOST_S, 0.5, self.folder / "pulse.jsonl")
            )
            load.await_steady()
            load.mark()
            began = time.time()
            work()
            ended = time.time()
            load.mark()
            load.end()
            summary = load.finish()
        events = power_events(self.vsphere, since)
        wanted = {n: FORETOLD[foretold.get(n, "untouched")] for n in names}
        assert happened(events, names) == wanted, "the gate and vCenter's events agree"
        touched = turns(events, PULSE)
        assert sorted(touched) == sorted(n for n in PULSE if wanted[n]), "one after the other"
        fewest = rotation.fewest_up(began, ended)
        assert min(fewest.values()) >= pulse["min_ready"], fewest
        assert losses(summary) == (0, 0, 0), summary
        assert summary["duplicated"] == 0
        assert min(summary["in_flight_at"].values()) >= 200, summary["in_flight_at"]
        assert self.status()["healthy"]


@pytest.fixture
def scene(
    permafrost: Cli, lab: Cli, on: On, vsphere: VCenter, status: Status, tmp_path: Path
) -> Scene:
    return Scene(permafrost, lab, on, vsphere, status, tmp_path)


@pytest.mark.parametrize("what", list(CHANGES))
def test_every_replica_is_changed_and_the_gate_is_right(
    what: str, scene: Scene, shell: Shell, site_file: Path, record_property: Any
) -> None:
    change, vsphere = CHANGES[what], scene.vsphere
    after = change.wants(change.reads(vsphere.vm(PULSE[0])))
    text = site_file.read_text(encoding="utf-8")
    site_file.write_text(change.edit(text, after), encoding="utf-8")
    foretold = scene.foretold()
    record_property("foretold", foretold)
    assert {n: foretold.get(n) for n in PULSE} == dict.fromkeys(PULSE, change.effect)
    others = {effect for name, effect in foretold.items() if name not in PULSE}
    assert others <= {"untouched"}, "what pulse is given is nobody else's"
    scene.under_load(
        lambda: shell("pulumi up --yes --non-interactive --skip-preview", timeout=UP_S), foretold
    )
    assert [change.reads(vsphere.vm(n)) for n in PULSE] == [after] * 3
    assert scene.permafrost.json("plan")["steps"] == []
    shell("pulumi preview --non-interactive --expect-no-changes")


def test_a_reservation_that_somebody_took_is_given_back_while_they_run(
    scene: Scene, shell: Shell
) -> None:
    def reserved(name: str) -> int:
        return int(scene.vsphere.vm(name).config.memoryAllocation.reservation)

    before = [reserved(n) for n in PULSE]
    little = vim.ResourceAllocationInfo(reservation=LITTLE_MIB)
    spec = vim.vm.ConfigSpec(memoryAllocation=little, memoryReservationLockedToMax=False)
    for name in PULSE:
        scene.vsphere.await_task(scene.vsphere.vm(name).ReconfigVM_Task(spec))
    assert [reserved(n) for n in PULSE] == [LITTLE_MIB] * 3
    foretold = scene.foretold()
    assert set(foretold.values()) == {"untouched"}, "given back while they run"
    up = "pulumi up --yes --non-interactive --skip-preview --refresh"
    scene.under_load(lambda: shell(up, timeout=UP_S), foretold)
    assert [reserved(n) for n in PULSE] == before
    assert scene.permafrost.json("drift")["drift"] == []


def test_a_tag_that_somebody_took_is_put_back_and_no_vm_is_touched(
    scene: Scene, shell: Shell, instance: dict[str, Any]
) -> None:
    """A typed ``up`` leaves tags of VMs that are there alone; ``deploy`` puts ours back."""
    moids = {name: scene.vsphere.vm(name)._moId for name in PULSE}
    with Tags(instance) as tags:
        for moid in moids.values():
            tags.detach(tags.of(moid)["pulse"], moid)
        plan = scene.permafrost.json("plan")
        assert {s["target"] for s in plan["steps"] if s["kind"] == "mark"} == set(PULSE)
        assert set(scene.foretold().values()) == {"untouched"}

        def up_then_deploy() -> None:
            shell("pulumi up --yes --non-interactive --skip-preview --expect-no-changes")
            assert [n for n in PULSE if "pulse" in tags.of(moids[n])] == []
            scene.permafrost.run("deploy", "--yes", timeout=UP_S)

        scene.under_load(up_then_deploy, {})
        assert [n for n in PULSE if "pulse" not in tags.of(moids[n])] == []


def test_control_what_nobody_foretold_is_seen(scene: Scene, vsphere: VCenter) -> None:
    """A replica that is drained and power-cycled by hand: the same comparison tells it."""
    name, since = PULSE[1], latest(vsphere)
    scene.permafrost.run("drain", name, "--yes")
    vsphere.power_cycle(name)
    scene.permafrost.run("undrain", name, "--yes")
    seen = happened(power_events(vsphere, since), PULSE)
    assert set(scene.foretold().values()) == {"untouched"}
    assert seen == {n: ["off", "on"] if n == name else [] for n in PULSE}
