"""Machines and templates."""

from __future__ import annotations

from typing import Any

from lab.provider import inventory
from lab.provider.errors import NotFoundError, ProviderError
from lab.provider.functions.places import center_of
from lab.provider.session import Session, fault_text
from lab.provider.values import Props
from lab.provider.vm import devices
from lab.provider.vm.read import settings
from lab.provider.vm.spec import network_id
from lab.provider.vsphere import vim, vmodl


def get_virtual_machine(session: Session, args: Props) -> Props:
    """Return a machine or template, by UUID or by name and folder."""
    try:
        vm = _find_machine(session, args)
        found = session.properties(vm, "config", "customValue", "guest.net")
    except NotFoundError as e:
        raise ProviderError(f"error fetching virtual machine: {e}") from e
    except vmodl.MethodFault as e:
        raise ProviderError(f"error fetching virtual machine: {fault_text(e)}") from e
    config = found["config"]
    cards = devices.network_cards(config.hardware.device)
    addresses = [a for net in found.get("guest.net", []) for a in net.ipAddress or []]
    values = settings(config)
    for key in ("storagePolicyId", "vmxPath"):
        values.pop(key)
    boot = config.bootOptions
    for key in ("bootRetryEnabled", "efiSecureBootEnabled"):
        if boot is None or getattr(boot, key) is None:
            values.pop(key)
    answer = {
        **{k: v for k, v in args.items() if k not in ("moid",)},
        **values,
        "id": config.uuid,
        "uuid": config.uuid,
        "moid": vm._moId,
        "instanceUuid": config.instanceUuid,
        "evcMode": "",
        "extraConfig": {},
        "extraConfigRebootRequired": True,
        "guestIpAddresses": addresses,
        "customAttributes": {str(v.key): v.value for v in found.get("customValue", [])},
        "tags": session.tagging.attached("VirtualMachine", vm._moId),
        "vappTransports": [],
        "vtpm": False,
        "disks": [_disk_summary(d) for d in devices.disks(config.hardware.device)],
        "networkInterfaces": [_card_summary(c) for c in cards],
        "networkInterfaceTypes": [devices.adapter_type(c) for c in cards],
        "videoCards": _video_cards(config.hardware.device),
        "scsiControllerScanCount": args.get("scsiControllerScanCount", 1),
        "nvmeControllerScanCount": args.get("nvmeControllerScanCount", 1),
        "sataControllerScanCount": args.get("sataControllerScanCount", 0),
        "ideControllerScanCount": args.get("ideControllerScanCount", 2),
    }
    if addresses:
        answer["defaultIpAddress"] = addresses[0]
    return answer


def _find_machine(session: Session, args: Props) -> Any:
    if args.get("uuid"):
        return inventory.vm_by_uuid(session, args["uuid"])
    if args.get("moid"):
        return session.reference(vim.VirtualMachine, args["moid"])
    name = "/".join(p for p in (args.get("folder", "").strip("/"), args["name"]) if p)
    center = center_of(session, args)
    found = inventory.by_path(session, f"{inventory.root_path(session, center, 'vm')}/{name}")
    if not isinstance(found, vim.VirtualMachine):
        raise NotFoundError(f"vm '{name}' not found")
    return found


def _disk_summary(disk: Any) -> Props:
    return {
        "label": disk.deviceInfo.label,
        "size": disk.capacityInKB // devices.KIB_PER_GIB,
        "unitNumber": disk.unitNumber or 0,
        "thinProvisioned": bool(disk.backing.thinProvisioned),
        "eagerlyScrub": bool(disk.backing.eagerlyScrub),
    }


def _card_summary(card: Any) -> Props:
    allocation = card.resourceAllocation
    shares = allocation.share if allocation else None
    return {
        "adapterType": devices.adapter_type(card),
        "bandwidthLimit": allocation.limit if allocation and allocation.limit else -1,
        "bandwidthReservation": (allocation.reservation or 0) if allocation else 0,
        "bandwidthShareCount": shares.shares if shares else 0,
        "bandwidthShareLevel": shares.level if shares else "normal",
        "externalPortId": card.externalId or "",
        "macAddress": card.macAddress or "",
        "networkId": network_id(card),
        "physicalFunction": "",
    }


def _video_cards(hardware: list[Any]) -> list[Props]:
    return [
        {
            "graphics3ds": [],
            "numDisplays": d.numDisplays or 1,
            "totalVideoMemory": (d.videoRamSizeInKB or 0) // 1024,
        }
        for d in hardware
        if isinstance(d, devices.DEVICE.VirtualVideoCard)
    ]
