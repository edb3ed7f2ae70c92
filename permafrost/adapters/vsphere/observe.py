"""vCenter's inventory by one PropertyCollector traversal, turned into values.

Everything is asked in one filter: a loop over objects would make a round trip for each property
of each VM. ``retrieve`` brings the rows, ``inventory_of`` reads them and touches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyVmomi import vim

from permafrost.adapters.vsphere.cluster_rows import (
    datastores_of,
    licenses_of,
    overrides_of,
    settings_of,
    template_of,
)
from permafrost.adapters.vsphere.graphics_rows import Held, cards_of, profiles_of, shared_from
from permafrost.adapters.vsphere.rule_rows import rules_of
from permafrost.adapters.vsphere.traversal import FIELDS, Row, retrieve
from permafrost.errors import Failed, Problem
from permafrost.planning.snapshot import (
    GpuFacts,
    HostFacts,
    Inventory,
    VmFacts,
)

DISPLAY_CLASS = 0x03
"""PCI base class of display controllers: accelerators say they are one."""
NO_DEVICE = -1
"""What vCenter gives as the device of a guest's card that is none of the VM's."""


def read_inventory(content: Any, datacenter: str, cluster: str) -> Inventory:
    """Return hosts, VMs, rules and settings of one cluster."""
    return inventory_of(retrieve(content, _datacenter(content, datacenter)), cluster)


def inventory_of(rows: Mapping[Any, Sequence[Row]], cluster: str) -> Inventory:
    """Return the values of one cluster out of the rows of a datacenter."""
    clusters = rows[vim.ClusterComputeResource]
    found = [r for r in clusters if r["name"] == cluster]
    if not found:
        raise Failed(
            Problem(
                "CLUSTER_MISSING",
                f"there is no cluster {cluster}",
                "vcenter.cluster",
                "there are: " + (", ".join(sorted(r["name"] for r in clusters)) or "none"),
            )
        )
    hosts = {
        row["moid"]: row
        for row in rows[vim.HostSystem]
        if row.get("parent") is not None and row["parent"]._moId == found[0]["moid"]
    }
    machines = [row for row in rows[vim.VirtualMachine] if _host_of(row) in hosts]
    owned = [row for row in machines if not row.get("config.template")]
    named = {
        str(row["moid"]): str(row["name"])
        for kind in (vim.VirtualMachine, vim.HostSystem, vim.Datastore, vim.Network)
        for row in rows.get(kind, ())
    }
    owners = {
        (_host_of(row), address): str(row["name"])
        for row in owned
        for address in passed_through(row)
    }
    held = {str(row["moid"]): (str(row["name"]), tuple(shared_from(row))) for row in owned}
    configuration = found[0].get("configurationEx")
    drs, ha = overrides_of(configuration)
    fields = {
        int(field.key): str(field.name)
        for row in rows.get(vim.CustomFieldsManager, ())
        for field in row.get(FIELDS) or ()
    }
    return Inventory(
        hosts=tuple(
            sorted((_host(r, owners, held) for r in hosts.values()), key=lambda h: h.name)
        ),
        vms=tuple(
            sorted((_vm(r, hosts, named, drs, ha, fields) for r in owned), key=lambda v: v.name)
        ),
        rules=tuple(sorted(rules_of(configuration, named), key=lambda r: r.name)),
        cluster=settings_of(configuration),
        datastores=datastores_of(rows.get(vim.Datastore, ()), hosts),
        networks=frozenset(str(row["name"]) for row in rows.get(vim.Network, ())),
        templates=tuple(template_of(r) for r in rows[vim.VirtualMachine] if _is_template(r)),
        licenses=licenses_of(rows.get(vim.LicenseManager, ())),
    )


def _datacenter(content: Any, name: str) -> Any:
    known = []
    for child in content.rootFolder.childEntity:
        if isinstance(child, vim.Datacenter):
            if child.name == name:
                return child
            known.append(str(child.name))
    raise Failed(
        Problem(
            "DATACENTER_MISSING",
            f"there is no datacenter {name}",
            "vcenter.datacenter",
            f"this user sees at the top: {', '.join(sorted(known)) or 'none'}",
        )
    )


def _is_template(row: Row) -> bool:
    return bool(row.get("config.template"))


def _host_of(row: Row) -> str:
    host = row.get("runtime.host")
    return str(host._moId) if host is not None else ""


def _host(
    row: Row,
    owners: Mapping[tuple[str, str], str],
    held: Held,
) -> HostFacts:
    moid = str(row["moid"])
    active = {
        str(info.id)
        for info in row.get("config.pciPassthruInfo") or []
        if getattr(info, "passthruActive", False)
    }
    gpus = [
        GpuFacts(
            address=str(device.id),
            vendor_device=f"{device.vendorId & 0xFFFF:04x}:{device.deviceId & 0xFFFF:04x}",
            used_by=owners.get((moid, str(device.id)), ""),
            name=str(device.deviceName or ""),
            is_passthrough=str(device.id) in active,
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
        memory_mib=int(row.get("hardware.memorySize") or 0) >> 20,
        version=str(row.get("config.product.version") or ""),
        cpus=int(row.get("hardware.cpuInfo.numCpuThreads") or 0),
        cards=cards_of(row, held),
        vgpu_profiles=profiles_of(row),
    )


def _vm(
    row: Row,
    hosts: Mapping[str, Row],
    named: Mapping[str, str],
    drs: Mapping[str, str],
    ha: Mapping[str, str],
    fields: Mapping[int, str],
) -> VmFacts:
    moid = str(row["moid"])
    return VmFacts(
        name=str(row["name"]),
        moid=moid,
        uuid=str(row.get("config.uuid") or ""),
        host=str(hosts[_host_of(row)]["name"]),
        is_on=str(row.get("runtime.powerState")) == "poweredOn",
        gpus=tuple(sorted(passed_through(row))),
        memory_mib=int(row.get("config.hardware.memoryMB") or 0),
        memory_reservation_mib=int(row.get("config.memoryAllocation.reservation") or 0),
        address=str(row.get("guest.ipAddress") or ""),
        is_connected=str(row.get("runtime.connectionState") or "connected") == "connected",
        is_reservation_locked=bool(row.get("config.memoryReservationLockedToMax")),
        datastores=_names(row.get("datastore"), named),
        networks=_names(row.get("network"), named),
        firmware=str(row.get("config.firmware") or ""),
        hardware_version=str(row.get("config.version") or ""),
        drs_override=drs.get(moid, ""),
        ha_override=ha.get(moid, ""),
        annotation=str(row.get("config.annotation") or ""),
        attributes=tuple(sorted(_attributes(row, fields))),
        vgpus=tuple(sorted(shared_from(row))),
        addresses=tuple(sorted(_addresses(row))),
    )


def _addresses(row: Row) -> set[str]:
    """Return the addresses of all cards of a guest; none where its Tools do not run.

    A bridge that the guest has made is told as a card without a device: every guest may have the
    same address there, and nobody else reaches it.
    """
    cards = [card for card in row.get("guest.net") or () if card.deviceConfigId != NO_DEVICE]
    return {str(address) for card in cards for address in card.ipAddress or ()}


def _attributes(row: Row, fields: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Yield the custom attributes of a VM; an empty one is one that it does not have."""
    for value in row.get("customValue") or ():
        text = str(getattr(value, "value", "") or "")
        if text and int(value.key) in fields:
            yield fields[int(value.key)], text


def _names(references: Any, named: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(named.get(str(r._moId), str(r._moId)) for r in references or ()))


def passed_through(row: Row) -> Iterator[str]:
    """Yield the addresses of the devices that a VM takes from its host."""
    for device in row.get("config.hardware.device") or ():
        if isinstance(device, vim.vm.device.VirtualPCIPassthrough):
            backing = device.backing
            address = getattr(backing, "id", "") or getattr(backing, "assignedId", "")
            if address:
                yield str(address)
