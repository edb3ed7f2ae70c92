"""Reading a machine back from vCenter into the provider's properties."""

from __future__ import annotations

from typing import Any

from lab.provider import inventory
from lab.provider.session import Operation
from lab.provider.values import UNKNOWN, Props
from lab.provider.vm import devices, power
from lab.provider.vm.schema import META, SCHEMA
from lab.provider.vm.spec import network_id

PATHS = (
    "config", "customValue", "datastore", "guest.ipStack", "guest.net",
    "guest.toolsRunningStatus", "name", "parent", "resourcePool", "runtime.host",
    "runtime.powerState",
)  # fmt: skip
OPERATING = (
    "clone", "datacenterId", "datastoreClusterId", "evcMode", "extraConfigRebootRequired",
    "forcePowerOff", "ideControllerCount", "ignoredGuestIps", "migrateWaitTimeout",
    "numCoresPerNumaNode", "nvmeControllerCount", "ovfDeploy", "poweronTimeout",
    "replaceTrigger", "sataControllerCount", "scsiControllerCount", "shutdownWaitTimeout",
    "syncTimeWithHostPeriodically", "vapp", "vbsEnabled", "videoCard", "vtpm", "vvtdEnabled",
    "waitForGuestIpTimeout", "waitForGuestNetRoutable", "waitForGuestNetTimeout",
)  # fmt: skip
"""Properties that no machine tells: what the program said, or their default."""


def read_state(op: Operation, vm: Any, before: Props) -> Props:
    """Return a machine's state; `before` says how its disks are called and what was asked."""
    found = op.session.properties(vm, *PATHS)
    config = found["config"]
    nets, stacks = found.get("guest.net", []), found.get("guest.ipStack", [])
    outside = power.usable(nets, stacks, before.get("ignoredGuestIps") or [], routable=True)
    all_addresses = power.addresses(nets)
    hardware = config.hardware.device
    host = found.get("runtime.host")
    state: Props = {
        "__meta": META,
        "id": config.uuid,
        "uuid": config.uuid,
        "moid": vm._moId,
        "imported": before.get("imported") if before else True,
        "powerState": "on" if found["runtime.powerState"] == power.ON else "off",
        "hostSystemId": host._moId if host else "",
        "resourcePoolId": found["resourcePool"]._moId if "resourcePool" in found else "",
        "folder": inventory.relative_folder(op.session, found["parent"]),
        "defaultIpAddress": next(iter(outside or all_addresses), before.get("defaultIpAddress")),
        "guestIpAddresses": all_addresses,
        "vmwareToolsStatus": found.get("guest.toolsRunningStatus") or "guestToolsNotRunning",
        "rebootRequired": False,
        "customAttributes": {str(v.key): v.value for v in found.get("customValue", []) if v.value},
        "tags": op.session.tagging.attached("VirtualMachine", vm._moId),
        "vappTransports": [],
        "pciDeviceIds": [d.backing.id for d in devices.passthroughs(hardware)],
        "extraConfig": _extra_config(config, before),
    }
    state |= {key: _operating(key, before) for key in OPERATING}
    state |= settings(config)
    datastores = _datastores(op, found.get("datastore", []))
    state["datastoreId"] = datastores.get(_datastore_name(config.files.vmPathName), "")
    state["disks"] = _disks(hardware, before.get("disks") or [], datastores)
    state["networkInterfaces"] = _interfaces(hardware, before.get("networkInterfaces") or [])
    state["cdroms"] = [_cdrom(d, hardware) for d in devices.cdroms(hardware)]
    return state


def settings(config: Any) -> Props:
    """Return what the machine's own configuration says, hardware and place aside."""
    boot, flags, tools = config.bootOptions, config.flags, config.tools
    cpu, memory = config.cpuAllocation, config.memoryAllocation
    return {
        "alternateGuestName": config.alternateGuestName or "",
        "annotation": config.annotation or "",
        "bootDelay": (boot.bootDelay or 0) if boot else 0,
        "bootRetryDelay": (boot.bootRetryDelay or 0) if boot else 0,
        "bootRetryEnabled": bool(boot and boot.bootRetryEnabled),
        "changeVersion": config.changeVersion or "",
        "cpuHotAddEnabled": bool(config.cpuHotAddEnabled),
        "cpuHotRemoveEnabled": bool(config.cpuHotRemoveEnabled),
        "cpuLimit": cpu.limit if cpu.limit is not None else -1,
        "cpuPerformanceCountersEnabled": bool(config.vPMCEnabled),
        "cpuReservation": cpu.reservation or 0,
        "cpuShareCount": cpu.shares.shares if cpu.shares.level == "custom" else 0,
        "cpuShareLevel": cpu.shares.level,
        "efiSecureBootEnabled": bool(boot and boot.efiSecureBootEnabled),
        "enableDiskUuid": bool(flags.diskUuidEnabled),
        "enableLogging": bool(flags.enableLogging),
        "eptRviMode": flags.virtualMmuUsage or "",
        "firmware": config.firmware or "bios",
        "guestId": config.guestId,
        "hardwareVersion": int((config.version or "vmx-0").rpartition("-")[2]),
        "hvMode": flags.virtualExecUsage or "",
        "latencySensitivity": config.latencySensitivity.level
        if config.latencySensitivity
        else "normal",
        "memory": config.hardware.memoryMB,
        "memoryHotAddEnabled": bool(config.memoryHotAddEnabled),
        "memoryLimit": memory.limit if memory.limit is not None else -1,
        "memoryReservation": memory.reservation or 0,
        "memoryReservationLockedToMax": bool(config.memoryReservationLockedToMax),
        "memoryShareCount": memory.shares.shares if memory.shares.level == "custom" else 0,
        "memoryShareLevel": memory.shares.level,
        "name": config.name,
        "nestedHvEnabled": bool(config.nestedHVEnabled),
        "numCoresPerSocket": config.hardware.numCoresPerSocket or 1,
        "numCpus": config.hardware.numCPU,
        "runToolsScriptsAfterPowerOn": bool(tools.afterPowerOn),
        "runToolsScriptsAfterResume": bool(tools.afterResume),
        "runToolsScriptsBeforeGuestReboot": bool(tools.beforeGuestReboot),
        "runToolsScriptsBeforeGuestShutdown": bool(tools.beforeGuestShutdown),
        "runToolsScriptsBeforeGuestStandby": bool(tools.beforeGuestStandby),
        "scsiBusSharing": "noSharing",
        "scsiType": devices.scsi_type(config.hardware.device),
        "storagePolicyId": "",
        "swapPlacementPolicy": config.swapPlacement or "",
        "syncTimeWithHost": bool(tools.syncTimeWithHost),
        "toolsUpgradePolicy": tools.toolsUpgradePolicy or "",
        "vmxPath": _file_path(config.files.vmPathName),
    }


def _operating(key: str, before: Props) -> Any:
    if before:
        value = before.get(key)
        return _filled_clone(value) if key == "clone" and value else value
    prop = SCHEMA[key]
    return prop.default if prop.default is not None else prop.implied


def _filled_clone(clone: Props) -> Props:
    """Return `clone` as a read leaves it: maps and flags that were not said are empty."""
    return {
        **clone,
        "linkedClone": bool(clone.get("linkedClone")),
        "ovfNetworkMap": clone.get("ovfNetworkMap") or {},
        "ovfStorageMap": clone.get("ovfStorageMap") or {},
    }


def _extra_config(config: Any, before: Props) -> Props:
    """Return the keys that the program names: a machine has many more of its own."""
    asked = before.get("extraConfig") or {}
    present = {o.key: str(o.value) for o in config.extraConfig}
    return {k: present[k] for k in asked if present.get(k)}


def _datastores(op: Operation, references: list[Any]) -> dict[str, str]:
    found = op.session.properties_of_all(list(references), "name")
    return {str(p["name"]): moid for moid, p in found.items()}


def _datastore_name(path: str) -> str:
    return path.partition("]")[0].lstrip("[")


def _file_path(path: str) -> str:
    return path.partition("]")[2].strip()


def _disks(hardware: list[Any], before: list[Props], datastores: dict[str, str]) -> list[Props]:
    present = devices.disks(hardware)
    found = []
    taken: set[int] = set()
    for disk in before:
        device = _find_disk(present, disk, hardware)
        if device is not None and device.key not in taken:
            taken.add(device.key)
            found.append(_disk(device, disk, hardware, datastores))
    if not before:
        found = [_disk(d, {"label": d.deviceInfo.label}, hardware, datastores) for d in present]
    return found


def _find_disk(present: list[Any], disk: Props, hardware: list[Any]) -> Any:
    """Return a disk's device: by its key, and where it is new by its place."""
    key = disk.get("key")
    for device in present:
        if isinstance(key, int) and key > 0 and device.key == key:
            return device
    place = f"{disk.get('controllerType', 'scsi')}:0:{disk.get('unitNumber') or 0}"
    for device in present:
        if devices.address(device, hardware) == place:
            return device
    return None


def _disk(device: Any, before: Props, hardware: list[Any], datastores: dict[str, str]) -> Props:
    backing = device.backing
    allocation = device.storageIOAllocation
    where = devices.address(device, hardware)
    level = allocation.shares.level if allocation and allocation.shares else "normal"
    return {
        "label": before["label"],
        "attach": bool(before.get("attach")),
        "controllerType": where.partition(":")[0] or "scsi",
        "datastoreId": datastores.get(_datastore_name(backing.fileName), ""),
        "deviceAddress": where,
        "diskMode": backing.diskMode,
        "diskSharing": backing.sharing or "sharingNone",
        "eagerlyScrub": bool(backing.eagerlyScrub),
        "ioLimit": allocation.limit if allocation and allocation.limit is not None else -1,
        "ioReservation": (allocation.reservation or 0) if allocation else 0,
        "ioShareCount": allocation.shares.shares
        if allocation and allocation.shares and level == "custom"
        else 0,
        "ioShareLevel": level,
        "keepOnRemove": bool(before.get("keepOnRemove")),
        "key": device.key,
        "path": _file_path(backing.fileName),
        "size": device.capacityInKB // devices.KIB_PER_GIB,
        "storagePolicyId": "",
        "thinProvisioned": bool(backing.thinProvisioned),
        "unitNumber": device.unitNumber or 0,
        "uuid": backing.uuid or "",
        "writeThrough": bool(backing.writeThrough),
    }


def _interfaces(hardware: list[Any], before: list[Props]) -> list[Props]:
    found = []
    for i, card in enumerate(devices.network_cards(hardware)):
        old = before[i] if i < len(before) else {}
        mapping = old.get("ovfMapping")
        found.append(
            {
                "adapterType": devices.adapter_type(card),
                "bandwidthLimit": -1,
                "bandwidthReservation": 0,
                "bandwidthShareCount": 0,
                "bandwidthShareLevel": "normal",
                "deviceAddress": devices.address(card, hardware),
                "externalPortId": card.externalId or "",
                "key": card.key,
                "macAddress": card.macAddress or "",
                "networkId": network_id(card),
                "ovfMapping": mapping if mapping not in (None, UNKNOWN) else "",
                "physicalFunction": "",
                "useStaticMac": bool(old.get("useStaticMac")),
            }
        )
    return found


def _cdrom(drive: Any, hardware: list[Any]) -> Props:
    return {
        "clientDevice": True,
        "datastoreId": "",
        "deviceAddress": devices.address(drive, hardware),
        "key": drive.key,
        "path": "",
    }
