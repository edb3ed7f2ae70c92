"""What stands where: read from the lab's files and control groups, and from its vCenter."""

from __future__ import annotations

from typing import Any

from lab.faults.record import FaultRecord
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine, machines
from lab.instance.model import Instance
from lab.services import inventory, vcenter
from lab.services.daemon import Daemon

SERVICES = ("vcenter", "registry", "packages")


def describe(instance: Instance) -> dict[str, Any]:
    """Return the whole of a lab as a document."""
    seen = inventory.read(instance)
    return {
        "id": instance.id,
        "subnet": str(instance.network),
        "vcenter": {
            "url": instance.vcenter_url,
            "user": vcenter.USER,
            "password_file": str(instance.vcenter_dir / "password"),
        },
        "services": [
            {"name": name, "power": _power(Daemon(instance, name).is_running)} for name in SERVICES
        ],
        "hosts": [
            {"name": name, "state": seen.hosts.get(name, "unknown")}
            for name in vcenter.hosts_of(instance)
        ],
        "machines": [_machine(machine, seen) for machine in machines(instance)],
        "faults": [
            {"id": f.id, "kind": f.kind, "target": f.target, "applied_at": f.applied_at}
            for f in FaultRecord(instance.faults_file).active()
        ],
    }


def _machine(machine: Machine, seen: inventory.Inventory) -> dict[str, str]:
    spec = machine.spec()
    is_on = machine.is_on
    network = guest.network(machine) if is_on and not machine.group.frozen else None
    return {
        "name": machine.name,
        "address": network.address if network else "",
        "host": seen.host_of.get(machine.name) or (spec.host if spec else ""),
        "power": _power(is_on),
    }


def _power(is_on: bool) -> str:
    return "on" if is_on else "off"
