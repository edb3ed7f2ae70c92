"""Observing 2,000 VMs: one PropertyCollector traversal against a loop over objects.

``python -m tests.bench.observation`` starts a vCenter of its own (the lab's, nothing behind it),
makes the VMs, and measures both in the same run. The loop reads the same facts, each from its
object, as pyvmomi's own samples do; it is measured on a part of the VMs and scaled.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pyVmomi import vim
from rich.console import Console
from rich.table import Table

from lab.build import parts
from lab.provider.inventory import view
from lab.provider.session import Operation
from permafrost.planning.snapshot import Inventory, VmFacts
from tests.contract.vsphere.byhand import GPUS, ByHand
from tests.contract.vsphere.person import added

VMS = 2000
LOOPED = 100
ROUNDS = 5
AT_ONCE = 4
PREFIX = "synthetic-"

T = TypeVar("T")


def populate(person: ByHand, count: int) -> None:
    """Make VMs that are off, each with a device and a disk's worth of settings."""
    session = person.vcenter.admin._session
    folder = person.find(vim.Datacenter, "DC0").vmFolder
    pool = person.find(vim.ClusterComputeResource, "DC0_C0").resourcePool
    hosts = view(session, session.content.rootFolder, vim.HostSystem)

    def make(number: int) -> None:
        spec = vim.vm.ConfigSpec(
            name=f"{PREFIX}{number:04}",
            numCPUs=8,
            memoryMB=65536,
            guestId="otherGuest",
            memoryAllocation=vim.ResourceAllocationInfo(reservation=65536),
            files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"),
            deviceChange=[added(GPUS[number % 2], 0)],
        )
        Operation(session, "").wait(folder.CreateVM_Task(spec, pool, hosts[number % len(hosts)]))

    with ThreadPoolExecutor(AT_ONCE) as pool_:
        list(pool_.map(make, range(count)))


def loop_over(machines: list[Any]) -> list[dict[str, Any]]:
    """Read of each VM what the traversal reads, property by property."""
    rows = []
    for machine in machines:
        devices = [
            device.backing.id
            for device in machine.config.hardware.device
            if isinstance(device, vim.vm.device.VirtualPCIPassthrough)
        ]
        rows.append(
            {
                "name": machine.name,
                "uuid": machine.config.uuid,
                "template": machine.config.template,
                "annotation": machine.config.annotation,
                "firmware": machine.config.firmware,
                "version": machine.config.version,
                "memory": machine.config.hardware.memoryMB,
                "reservation": machine.config.memoryAllocation.reservation,
                "locked": machine.config.memoryReservationLockedToMax,
                "gpus": devices,
                "host": machine.runtime.host.name,
                "power": machine.runtime.powerState,
                "connection": machine.runtime.connectionState,
                "address": machine.guest.ipAddress,
                "datastores": [d.name for d in machine.datastore],
                "networks": [n.name for n in machine.network],
            }
        )
    return rows


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds: by the clock, of this process's CPU time, of the vCenter's."""

    clock: float
    client: float
    server: float

    @property
    def cpu(self) -> float:
        """CPU time of both."""
        return self.client + self.server


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that another process has spent so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spent(work: Callable[[], T], pid: int, share: float = 1.0) -> tuple[Spent, T]:
    """Return what some work took, divided by its share of the whole, and its result."""
    before = time.monotonic(), time.process_time(), cpu_of(pid)
    result = work()
    after = time.monotonic(), time.process_time(), cpu_of(pid)
    return Spent(*((b - a) / share for a, b in zip(before, after, strict=True))), result


def same(row: dict[str, Any], vm: VmFacts) -> bool:
    """Say whether both have seen the same of a VM."""
    return (
        row["name"],
        row["uuid"],
        row["annotation"] or "",
        row["firmware"],
        row["version"],
        row["memory"],
        row["reservation"],
        tuple(sorted(row["gpus"])),
        row["host"],
        row["power"] == "poweredOn",
        row["connection"] == "connected",
        row["address"] or "",
        tuple(sorted(row["datastores"])),
        tuple(sorted(row["networks"])),
    ) == (
        vm.name,
        vm.uuid,
        vm.annotation,
        vm.firmware,
        vm.hardware_version,
        vm.memory_mib,
        vm.memory_reservation_mib,
        vm.gpus,
        vm.host,
        vm.is_on,
        vm.is_connected,
        vm.address,
        vm.datastores,
        vm.networks,
    )


def compare(
    observe: Callable[[], Inventory], machines: list[Any], count: int, pid: int
) -> list[tuple[Spent, Spent]]:
    """Return what loop and traversal took, round by round; both must have seen the same."""
    observe()
    rounds = []
    for _ in range(ROUNDS):
        traversal, seen = spent(observe, pid)
        loop, rows = spent(lambda: loop_over(machines), pid, len(machines) / count)
        known = {vm.name: vm for vm in seen.vms}
        if len(known) != count or not all(vm.gpus for vm in seen.vms):
            raise RuntimeError(f"{len(known)} of {count} VMs were seen with their device")
        if wrong := [row["name"] for row in rows if not same(row, known[row["name"]])]:
            raise RuntimeError(f"seen otherwise by the loop: {', '.join(wrong)}")
        rounds.append((loop, traversal))
    return rounds


def table_of(rounds: list[tuple[Spent, Spent]], title: str) -> Table:
    """Return medians, by the clock and by CPU time."""
    table = Table(title=title)
    for heading in ("", "loop s", "traversal s", "times faster", "least", "most"):
        table.add_column(heading, justify="right")
    for label, name in (("clock", "clock"), ("CPU of both", "cpu"), ("CPU of client", "client")):
        loops = [getattr(loop, name) for loop, _ in rounds]
        traversals = [getattr(traversal, name) for _, traversal in rounds]
        ratios = [a / b for a, b in zip(loops, traversals, strict=True)]
        table.add_row(
            label,
            f"{statistics.median(loops):.1f}",
            f"{statistics.median(traversals):.2f}",
            *(f"{f(ratios):.0f}" for f in (statistics.median, min, max)),
        )
    return table


def observation_table(count: int = VMS, looped: int = LOOPED) -> Table:
    """Measure both, in turn, on one vCenter."""
    program = parts.path("vcenter") / "bin" / "labvcenter"
    with tempfile.TemporaryDirectory() as folder, ByHand(program, Path(folder)) as person:
        pid = person.vcenter.pid
        made, _ = spent(lambda: populate(person, count), pid)
        session = person.vcenter.admin._session
        machines = view(session, session.content.rootFolder, vim.VirtualMachine)
        # The template, which is no VM of the inventory, stands among them.
        part = [m for m in machines[:: count // looped] if m.name.startswith(PREFIX)]
        rounds = compare(person.hypervisor.observe, part, count, pid)
    return table_of(
        rounds,
        f"observing {count} VMs: one traversal against a loop over objects "
        f"(lab's vCenter; loop measured on {looped}; made in {made.clock:.0f} s; "
        f"medians of {ROUNDS})",
    )


if __name__ == "__main__":
    Console(width=110).print(observation_table(*(int(a) for a in sys.argv[1:])))
