"""Observing 2,000 VMs: one PropertyCollector traversal against a loop over objects.

``python -m tests.bench.observation`` starts a vCenter of its own (the lab's, nothing behind it),
makes the VMs, and measures both in the same run. The loop reads the same facts, each from its
object, as pyvmomi's own samples do; it is measured on a part of the VMs and scaled.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyVmomi import vim
from rich.console import Console
from rich.table import Table

from lab.build import parts
from lab.provider.inventory import view
from lab.provider.session import Operation
from permafrost.planning.snapshot import Inventory
from tests.contract.vsphere.byhand import GPUS, ByHand
from tests.contract.vsphere.person import added

VMS = 2000
LOOPED = 100
ROUNDS = 3
AT_ONCE = 4


def populate(person: ByHand, count: int) -> None:
    """Make VMs that are off, each with a device and a disk's worth of settings."""
    session = person.vcenter.admin._session
    folder = person.find(vim.Datacenter, "DC0").vmFolder
    pool = person.find(vim.ClusterComputeResource, "DC0_C0").resourcePool
    hosts = view(session, session.content.rootFolder, vim.HostSystem)

    def make(number: int) -> None:
        spec = vim.vm.ConfigSpec(
            name=f"synthetic-{number:04}",
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


def timed(work: Any) -> tuple[float, Any]:
    """Return seconds and result."""
    begin = time.monotonic()
    result = work()
    return time.monotonic() - begin, result


def observation_table(count: int = VMS, looped: int = LOOPED) -> Table:
    """Measure both, in turn, on one vCenter."""
    program = parts.path("vcenter") / "bin" / "labvcenter"
    with tempfile.TemporaryDirectory() as folder, ByHand(program, Path(folder)) as person:
        made_s, _ = timed(lambda: populate(person, count))
        session = person.vcenter.admin._session
        machines = view(session, session.content.rootFolder, vim.VirtualMachine)[:looped]
        person.hypervisor.observe()
        traversals, loops = [], []
        seen = Inventory()
        for _ in range(ROUNDS):
            seconds, seen = timed(person.hypervisor.observe)
            traversals.append(seconds)
            seconds, rows = timed(lambda: loop_over(machines))
            loops.append(seconds * count / len(rows))
    if len(seen.vms) != count or not all(vm.gpus for vm in seen.vms):
        raise RuntimeError(f"{len(seen.vms)} of {count} VMs were seen with their device")
    traversal, loop = statistics.median(traversals), statistics.median(loops)
    table = Table(
        title=f"observing {count} VMs: one traversal against a loop over objects "
        f"(lab's vCenter; loop measured on {looped}; made in {made_s:.0f} s)"
    )
    for heading in ("loop s", "traversal s", "times faster"):
        table.add_column(heading, justify="right")
    table.add_row(f"{loop:.1f}", f"{traversal:.2f}", f"{loop / traversal:.0f}")
    return table


if __name__ == "__main__":
    Console(width=110).print(observation_table(*(int(a) for a in sys.argv[1:])))
