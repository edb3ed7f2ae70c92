"""One traversal of vCenter's inventory, turned into values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyVmomi import vim, vmodl

from permafrost.errors import Failed, Problem
from permafrost.planning.snapshot import GpuFacts, HostFacts, Inventory, RuleFacts, VmFacts

Row = dict[str, Any]

DISPLAY_CLASS = 0x03
"""PCI base class of display controllers: accelerators say they are one."""

PROPERTIES: dict[Any, list[str]] = {
    vim.HostSystem: [
        "name",
        "parent",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "hardware.pciDevice",
    ],
    vim.VirtualMachine: [
        "name",
        "config.uuid",
        "config.template",
        "config.hardware",
        "config.memoryAllocation",
        "runtime.host",
        "runtime.powerState",
        "runtime.connectionState",
        "guest.ipAddress",
    ],
    vim.ClusterComputeResource: ["name", "configurationEx"],
}


def read_inventory(content: Any, datacenter: str, cluster: str) -> Inventory:
    """Return hosts, VMs and rules of one cluster."""
    return inventory_of(_retrieve(content, _datacenter(content, datacenter)), cluster)


def inventory_of(rows: Mapping[Any, Sequence[Row]], cluster: str) -> Inventory:
    """Return the values of one cluster out of the rows of a datacenter."""
    found = [r for r in rows[vim.ClusterComputeResource] if r["name"] == cluster]
    if not found:
        raise Failed(
            Problem("CLUSTER_MISSING", f"there is no cluster {cluster}", "vcenter.cluster")
        )
    hosts = {
        row["moid"]: row
        for row in rows[vim.HostSystem]
        if row.get("parent") is not None and row["parent"]._moId == found[0]["moid"]
    }
    machines = [
        row
        for row in rows[vim.VirtualMachine]
        if not row.get("config.template") and _host_of(row) in hosts
    ]
    owners = {
        (_host_of(row), address): str(row["name"])
        for row in machines
        for address in _passed_through(row)
    }
    names = {str(row["moid"]): str(row["name"]) for row in machines}
    return Inventory(
        hosts=tuple(sorted((_host(r, owners) for r in hosts.values()), key=lambda h: h.name)),
        vms=tuple(sorted((_vm(r, hosts) for r in machines), key=lambda v: v.name)),
        rules=tuple(sorted(_rules(found[0], names), key=lambda r: r.name)),
    )


def _datacenter(content: Any, name: str) -> Any:
    for child in content.rootFolder.childEntity:
        if isinstance(child, vim.Datacenter) and child.name == name:
            return child
    raise Failed(
        Problem("DATACENTER_MISSING", f"there is no datacenter {name}", "vcenter.datacenter")
    )


def _retrieve(content: Any, root: Any) -> dict[Any, list[Row]]:
    kinds = list(PROPERTIES)
    view = content.viewManager.CreateContainerView(root, kinds, True)
    try:
        collector = content.propertyCollector
        query: Any = vmodl.query.PropertyCollector
        spec = query.FilterSpec(
            objectSet=[
                query.ObjectSpec(
                    obj=view,
                    skip=True,
                    selectSet=[
                        query.TraversalSpec(
                            name="view", path="view", skip=False, type=vim.view.ContainerView
                        )
                    ],
                )
            ],
            propSet=[
                query.PropertySpec(type=kind, pathSet=paths, all=False)
                for kind, paths in PROPERTIES.items()
            ],
        )
        rows: dict[Any, list[Row]] = {kind: [] for kind in kinds}
        answer = collector.RetrievePropertiesEx([spec], query.RetrieveOptions())
        while answer is not None:
            for item in answer.objects:
                row: Row = {p.name: p.val for p in item.propSet}
                row["moid"] = item.obj._moId
                for kind in kinds:
                    if isinstance(item.obj, kind) and "name" in row:
                        rows[kind].append(row)
            if not answer.token:
                break
            answer = collector.ContinueRetrievePropertiesEx(answer.token)
        return rows
    finally:
        view.DestroyView()


def _host_of(row: Row) -> str:
    host = row.get("runtime.host")
    return str(host._moId) if host is not None else ""


def _host(row: Row, owners: dict[tuple[str, str], str]) -> HostFacts:
    moid = str(row["moid"])
    gpus = [
        GpuFacts(
            address=str(device.id),
            vendor_device=f"{device.vendorId & 0xFFFF:04x}:{device.deviceId & 0xFFFF:04x}",
            used_by=owners.get((moid, str(device.id)), ""),
        )
        for device in row.get("hardware.pciDevice") or []
        if (device.classId & 0xFFFF) >> 8 == DISPLAY_CLASS
    ]
    return HostFacts(
        name=str(row["name"]),
        moid=moid,
        connected=str(row.get("runtime.connectionState")) == "connected",
        in_maintenance=bool(row.get("runtime.inMaintenanceMode")),
        gpus=tuple(sorted(gpus, key=lambda g: g.address)),
    )


def _vm(row: Row, hosts: dict[str, Row]) -> VmFacts:
    hardware = row.get("config.hardware")
    allocation = row.get("config.memoryAllocation")
    return VmFacts(
        name=str(row["name"]),
        moid=str(row["moid"]),
        uuid=str(row.get("config.uuid") or ""),
        host=str(hosts[_host_of(row)]["name"]),
        is_on=str(row.get("runtime.powerState")) == "poweredOn",
        gpus=tuple(sorted(_passed_through(row))),
        memory_mib=int(hardware.memoryMB) if hardware is not None else 0,
        memory_reservation_mib=int(getattr(allocation, "reservation", None) or 0),
        address=str(row.get("guest.ipAddress") or ""),
        is_connected=str(row.get("runtime.connectionState") or "connected") == "connected",
    )


def _passed_through(row: Row) -> Iterator[str]:
    hardware = row.get("config.hardware")
    for device in hardware.device if hardware is not None else ():
        if isinstance(device, vim.vm.device.VirtualPCIPassthrough):
            address = getattr(device.backing, "id", "")
            if address:
                yield str(address)


def _rules(cluster: Row, names: dict[str, str]) -> Iterator[RuleFacts]:
    for rule in getattr(cluster.get("configurationEx"), "rule", None) or []:
        if isinstance(rule, vim.cluster.AntiAffinityRuleSpec):
            members = [names.get(str(vm._moId), str(vm._moId)) for vm in rule.vm]
            yield RuleFacts(
                str(rule.name), bool(rule.enabled), bool(rule.mandatory), frozenset(members)
            )
