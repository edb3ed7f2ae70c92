"""Where everything of a site of racks stands, and what of a safe state is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from tests.acceptance.driver import Cli, VCenter

RACKS = {
    "rack-a": ("lab-esx-01", "lab-esx-02"),
    "rack-b": ("lab-esx-03", "lab-esx-04"),
    "rack-c": ("lab-esx-05", "lab-esx-06"),
}


def rack_of(host: str) -> str:
    """Return the rack of a host."""
    return next(rack for rack, hosts in RACKS.items() if host in hosts)


@dataclass(frozen=True)
class Standing:
    """The site as it stood before anybody took a rack away: every machine on, and where."""

    permafrost: Cli
    vsphere: VCenter
    hosts: Mapping[str, str]

    @classmethod
    def of(cls, permafrost: Cli, vsphere: VCenter) -> Standing:
        """Look now."""
        return cls(permafrost, vsphere, {n: h for n, (h, _) in machines(vsphere).items()})

    def missing_back(self) -> list[str]:
        """Return what is not as it was: nobody away, all where it stood, and ready."""
        now = machines(self.vsphere)
        missing = [f"{host} is in maintenance mode" for host in sorted(closed(self.vsphere))]
        missing += [f"{h['host']} is recorded as {h['state']}" for h in recorded(self.permafrost)]
        for name, host in self.hosts.items():
            at, is_on = now[name]
            missing += [f"{name} is on {at}, stood on {host}"] * (at != host)
            missing += [f"{name} is off"] * (not is_on)
        missing += unfinished(self.permafrost)
        if not self.permafrost.json("status")["healthy"]:
            missing.append("the site is not ready")
        return missing

    def missing_away(self, rack: str) -> list[str]:
        """Return what is not as it must be while a rack, and it alone, is away."""
        hosts, document = RACKS[rack], self.permafrost.json("status")
        missing = [f"{h} is open" for h in hosts if h not in closed(self.vsphere)]
        missing += [f"{h} is closed" for h in closed(self.vsphere) if h not in hosts]
        records = {(h["host"], h["name"], h["state"]) for h in recorded(self.permafrost)}
        if records != {(host, rack, "IN") for host in hosts}:
            missing.append(f"recorded is {sorted(records)}")
        for name, (host, is_on) in machines(self.vsphere).items():
            if is_on is (host in hosts):
                missing.append(f"{name} on {host} is {'on' if is_on else 'off'}")
        for replica in (r for e in document["endpoints"] for r in e["replicas"]):
            expected = "DRAINED" if self.hosts[replica["name"]] in hosts else "ADMITTED"
            if replica["state"] != expected:
                missing.append(f"{replica['name']} is {replica['state']}")
        return missing + unfinished(self.permafrost)


def machines(vsphere: VCenter) -> dict[str, tuple[str, bool]]:
    """Return of every VM its host, and whether it is on; templates left out."""
    return {
        vm.name: (vm.runtime.host.name, vm.runtime.powerState == "poweredOn")
        for vm in vsphere.all(vim.VirtualMachine)
        if not vm.config.template
    }


def closed(vsphere: VCenter) -> Collection[str]:
    """Return the hosts that vCenter itself says are in maintenance mode."""
    return [h.name for h in vsphere.all(vim.HostSystem) if h.runtime.inMaintenanceMode]


def recorded(permafrost: Cli) -> list[dict[str, Any]]:
    """Return the hosts that are away by our doing."""
    found: list[dict[str, Any]] = permafrost.json("maintenance", "status")["hosts"]
    return found


def unfinished(permafrost: Cli) -> list[str]:
    """Return the operations that wait for `resume` or `abort`, as sentences."""
    return [
        f"{run['operation']} is {run['state']}"
        for run in permafrost.json("history", "--limit", "5")["operations"]
        if run["state"] in ("paused", "running")
    ]


def stand(vsphere: VCenter, name: str, host: str) -> None:
    """Have a VM run on a host: by vMotion, where it runs on another one."""
    vm = vsphere.vm(name)
    if vm.runtime.host.name != host:
        target = next(h for h in vsphere.all(vim.HostSystem) if h.name == host)
        priority = vim.VirtualMachine.MovePriority.defaultPriority
        vsphere.await_task(vm.MigrateVM_Task(host=target, priority=priority))
