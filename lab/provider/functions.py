"""The data sources: looking things up by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lab.provider import inventory
from lab.provider.errors import NotFoundError, ProviderError
from lab.provider.session import Session, fault_text
from lab.provider.values import Props
from lab.provider.vm import devices
from lab.provider.vm.read import settings
from lab.provider.vm.spec import network_id
from lab.provider.vsphere import vim, vmodl

Function = Callable[[Session, Props], Props]

MISSING = 'The argument "{0}" is required, but no definition was found.'
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "getDatacenter": ((), ("name",)),
    "getComputeCluster": (("name",), ("datacenterId",)),
    "getDatastore": (("name",), ("datacenterId", "stats")),
    "getNetwork": (
        ("name",),
        ("datacenterId", "distributedVirtualSwitchUuid", "filters", "retryInterval",
         "retryTimeout", "vpcId"),
    ),
    "getVirtualMachine": (
        (),
        ("name", "uuid", "moid", "datacenterId", "folder", "scsiControllerScanCount",
         "nvmeControllerScanCount", "sataControllerScanCount", "ideControllerScanCount"),
    ),
    "getHost": (("datacenterId",), ("name",)),
    "getHostPciDevice": (("hostId",), ("classId", "vendorId", "nameRegex")),
    "getResourcePool": ((), ("name", "datacenterId", "parentResourcePoolId")),
    "getFolder": (("path",), ()),
    "getTagCategory": (("name",), ()),
    "getTag": (("name", "categoryId"), ()),
}  # fmt: skip
"""Each function's required and optional arguments."""


def check_arguments(name: str, args: Props) -> list[str]:
    """Return what is wrong with a function's arguments."""
    required, optional = ARGUMENTS[name]
    failures = []
    for key in required:
        if args.get(key) is None:
            shown = _snake(key)
            failures.append(f"[{shown}] Missing required argument: {MISSING.format(shown)}")
    failures += [
        f"[{key}] Invalid or unknown key"
        for key in sorted(args)
        if key not in (*required, *optional)
    ]
    if name == "getVirtualMachine" and not any(args.get(k) for k in ("moid", "name", "uuid")):
        failures += [
            f'[{k}] Missing required argument: "{k}": one of `moid,name,uuid` must be specified'
            for k in ("moid", "name", "uuid")
        ]
    return failures


def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", lambda m: "_" + m.group(1).lower(), key)


def _center(session: Session, args: Props) -> Any:
    if args.get("datacenterId"):
        try:
            return inventory.datacenter(session, args["datacenterId"])
        except NotFoundError as e:
            raise ProviderError(f"cannot locate datacenter: {e}") from e
    return inventory.default_datacenter(session)


def _one_below(session: Session, center: Any, folder: str, kind: type, name: str) -> Any:
    """Return the object of one kind and name below a datacenter's folder, or None."""
    root = session.properties(center, inventory.FOLDER_OF[folder])[inventory.FOLDER_OF[folder]]
    found = inventory.by_path(
        session, f"{inventory.root_path(session, center, folder)}/{name.strip('/')}"
    )
    if isinstance(found, kind):
        return found
    several = inventory.named(session, inventory.view(session, root, kind), name)
    return several[0] if several else None


def get_datacenter(session: Session, args: Props) -> Props:
    """Return a datacenter, or the only one."""
    every = inventory.datacenters(session)
    if args.get("name"):
        every = inventory.named(session, every, args["name"])
        if not every:
            raise ProviderError(
                f"error fetching datacenter: datacenter '{args['name']}' not found"
            )
    if len(every) != 1:
        raise ProviderError(
            "error fetching datacenter: default datacenter resolves to multiple instances"
        )
    folder = session.properties(every[0], "vmFolder")["vmFolder"]
    machines = inventory.view(session, folder, vim.VirtualMachine)
    names = session.properties_of_all(machines, "name")
    return {
        **args,
        "id": every[0]._moId,
        "virtualMachines": sorted(str(p["name"]) for p in names.values()),
    }


def get_compute_cluster(session: Session, args: Props) -> Props:
    """Return a cluster and its root pool."""
    try:
        center = _center(session, args)
    except ProviderError as e:
        raise ProviderError(f"error loading cluster: {e}") from e
    kind = vim.ClusterComputeResource
    found = _one_below(session, center, "host", kind, args["name"])
    if found is None:
        raise ProviderError(f"error loading cluster: cluster '{args['name']}' not found")
    pool = session.properties(found, "resourcePool")["resourcePool"]
    return {**args, "id": found._moId, "resourcePoolId": pool._moId}


def get_datastore(session: Session, args: Props) -> Props:
    """Return a datastore with its capacity."""
    center = _center(session, args)
    found = _one_below(session, center, "datastore", vim.Datastore, args["name"])
    if found is None:
        raise ProviderError(f"error fetching datastore: datastore '{args['name']}' not found")
    summary = session.properties(found, "summary")["summary"]
    stats = {"capacity": str(summary.capacity), "free": str(summary.freeSpace)}
    return {**args, "id": found._moId, "stats": stats}


def get_network(session: Session, args: Props) -> Props:
    """Return a network or a distributed port group."""
    center = _center(session, args)
    found = _one_below(session, center, "network", vim.Network, args["name"])
    if found is None:
        raise ProviderError(f"Network {args['name']} not found")
    return {
        "retryInterval": 500,
        "retryTimeout": 0,
        **args,
        "id": found._moId,
        "type": type(found).__name__.rsplit(".", 1)[-1],
    }


def get_host(session: Session, args: Props) -> Props:
    """Return a host and the root pool it stands in."""
    center = _center(session, args)
    folder = session.properties(center, "hostFolder")["hostFolder"]
    hosts = inventory.view(session, folder, vim.HostSystem)
    if args.get("name"):
        hosts = inventory.named(session, hosts, args["name"])
        if not hosts:
            raise ProviderError(f"error fetching host: host '{args['name']}' not found")
    if len(hosts) != 1:
        raise ProviderError(
            "error fetching host: default host resolves to multiple instances, please specify"
        )
    owner = session.properties(hosts[0], "parent")["parent"]
    pool = session.properties(owner, "resourcePool")["resourcePool"]
    return {**args, "id": hosts[0]._moId, "resourcePoolId": pool._moId}


def get_host_pci_device(session: Session, args: Props) -> Props:
    """Return the first PCI device of a host that fits; an empty answer where none does."""
    host = session.reference(vim.HostSystem, args["hostId"])
    pattern = None
    if args.get("nameRegex"):
        try:
            pattern = re.compile(args["nameRegex"])
        except re.error as e:
            raise ProviderError(
                f"error parsing regexp: missing closing ): `{args['nameRegex']}`"
            ) from e
    for device in session.properties(host, "hardware.pciDevice").get("hardware.pciDevice", []):
        class_id, vendor_id = f"{device.classId:x}", f"{device.vendorId:x}"
        if args.get("classId") not in (None, "", class_id):
            continue
        if args.get("vendorId") not in (None, "", vendor_id):
            continue
        if pattern is None or pattern.search(device.deviceName):
            named = {"classId": class_id, "vendorId": vendor_id, "name": device.deviceName}
            return {**args, **named, "id": device.id}
    return {}


def get_resource_pool(session: Session, args: Props) -> Props:
    """Return a resource pool by its path below the datacenter's hosts."""
    if not args.get("name"):
        raise ProviderError(
            "argument 'name' is required when 'parent_resource_pool_id' is not specified"
        )
    if args.get("parentResourcePoolId"):
        parent = session.reference(vim.ResourcePool, args["parentResourcePoolId"])
        children = session.properties(parent, "resourcePool").get("resourcePool", [])
        found = (inventory.named(session, list(children), args["name"]) or [None])[0]
    else:
        found = _one_below(session, _center(session, args), "host", vim.ResourcePool, args["name"])
    if found is None:
        name = args["name"]
        raise ProviderError(
            f"error fetching resource pool by path \"{name}\": resource pool '{name}' not found"
        )
    return {**args, "id": found._moId}


def get_folder(session: Session, args: Props) -> Props:
    """Return a folder by its full path."""
    found = inventory.by_path(session, args["path"])
    if not isinstance(found, vim.Folder):
        raise ProviderError(f"cannot locate folder: folder '{args['path']}' not found")
    return {**args, "id": found._moId}


def get_tag_category(session: Session, args: Props) -> Props:
    """Return a tag category by name."""
    for category_id in session.tagging.call("GET", "/tagging/category") or []:
        found = session.tagging.call("GET", f"/tagging/category/id:{category_id}")
        if found["name"] == args["name"]:
            return {
                "id": category_id,
                "name": found["name"],
                "description": found.get("description", ""),
                "cardinality": found["cardinality"],
                "associableTypes": sorted(found.get("associable_types", [])),
            }
    raise ProviderError(f'category name "{args["name"]}" not found')


def get_tag(session: Session, args: Props) -> Props:
    """Return a tag by name and category."""
    for tag_id in session.tagging.call("GET", "/tagging/tag") or []:
        found = session.tagging.call("GET", f"/tagging/tag/id:{tag_id}")
        if (found["name"], found["category_id"]) == (args["name"], args["categoryId"]):
            return {**args, "id": tag_id, "description": found.get("description", "")}
    raise ProviderError(
        f'tag name "{args["name"]}" not found in category ID "{args["categoryId"]}"'
    )


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
    center = _center(session, args)
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


FUNCTIONS: dict[str, Function] = {
    "getDatacenter": get_datacenter,
    "getComputeCluster": get_compute_cluster,
    "getDatastore": get_datastore,
    "getNetwork": get_network,
    "getVirtualMachine": get_virtual_machine,
    "getHost": get_host,
    "getHostPciDevice": get_host_pci_device,
    "getResourcePool": get_resource_pool,
    "getFolder": get_folder,
    "getTagCategory": get_tag_category,
    "getTag": get_tag,
}
