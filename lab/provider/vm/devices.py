"""The virtual hardware of a machine: telling devices apart, and changing them."""

from __future__ import annotations

from typing import Any

from lab.provider.errors import ProviderError
from lab.provider.session import Session
from lab.provider.values import Props
from lab.provider.vsphere import vim

DEVICE = vim.vm.device
CHANGE = DEVICE.VirtualDeviceSpec
ADD, EDIT, REMOVE = "add", "edit", "remove"
KIB_PER_GIB = 1 << 20
CONTROLLERS = {
    "scsi": DEVICE.VirtualSCSIController,
    "sata": DEVICE.VirtualSATAController,
    "nvme": DEVICE.VirtualNVMEController,
    "ide": DEVICE.VirtualIDEController,
}
ADAPTERS = {
    "e1000": DEVICE.VirtualE1000,
    "e1000e": DEVICE.VirtualE1000e,
    "sriov": DEVICE.VirtualSriovEthernetCard,
    "vmxnet3vrdma": DEVICE.VirtualVmxnet3Vrdma,
    "vmxnet3": DEVICE.VirtualVmxnet3,
}
SCSI_TYPES = {
    "pvscsi": DEVICE.ParaVirtualSCSIController,
    "lsilogic-sas": DEVICE.VirtualLsiLogicSASController,
    "lsilogic": DEVICE.VirtualLsiLogicController,
    "buslogic": DEVICE.VirtualBusLogicController,
}
PCI_CONTROLLER = 100
FIRST_CARD_UNIT = 7


def disks(hardware: list[Any]) -> list[Any]:
    """Return the disks, in the order of their places."""
    found = [d for d in hardware if isinstance(d, DEVICE.VirtualDisk)]
    return sorted(found, key=lambda d: (d.controllerKey or 0, d.unitNumber or 0))


def network_cards(hardware: list[Any]) -> list[Any]:
    """Return the network cards, in the order the guest sees them."""
    found = [d for d in hardware if isinstance(d, DEVICE.VirtualEthernetCard)]
    return sorted(found, key=lambda d: (d.unitNumber or 0, d.key))


def passthroughs(hardware: list[Any]) -> list[Any]:
    """Return the PCI devices of the host that the machine owns."""
    return [d for d in hardware if isinstance(d, DEVICE.VirtualPCIPassthrough)]


def cdroms(hardware: list[Any]) -> list[Any]:
    """Return the CD-ROM drives."""
    return [d for d in hardware if isinstance(d, DEVICE.VirtualCdrom)]


def adapter_type(card: Any) -> str:
    """Return the provider's name for a network card's type."""
    for name, kind in ADAPTERS.items():
        if type(card) is kind:
            return name
    return "unknown"


def scsi_type(hardware: list[Any]) -> str:
    """Return the provider's name for the type of the first SCSI controller."""
    for device in hardware:
        for name, kind in SCSI_TYPES.items():
            if isinstance(device, kind):
                return name
    return ""


def controllers(hardware: list[Any], kind: str) -> list[Any]:
    """Return the controllers of one kind, by bus."""
    found = [d for d in hardware if isinstance(d, CONTROLLERS[kind])]
    return sorted(found, key=lambda d: d.busNumber)


def address(device: Any, hardware: list[Any]) -> str:
    """Return where a device sits, such as scsi:0:1."""
    for controller in hardware:
        if controller.key == device.controllerKey:
            for name, kind in CONTROLLERS.items():
                if isinstance(controller, kind):
                    return f"{name}:{controller.busNumber}:{device.unitNumber}"
            return f"pci:{controller.busNumber}:{device.unitNumber}"
    return ""


def spec(operation: str, device: Any, file_operation: str | None = None) -> Any:
    """Return one change of hardware."""
    return CHANGE(operation=operation, device=device, fileOperation=file_operation)


class Keys:
    """Temporary keys of devices that a change adds: negative, and never the same."""

    def __init__(self) -> None:
        self._next = -200

    def take(self) -> int:
        """Return a key that no device has."""
        self._next -= 1
        return self._next


def new_disk(disk: Props, hardware: list[Any], keys: Keys) -> Any:
    """Return the change that adds a disk."""
    kind = disk["controllerType"]
    found = controllers(hardware, kind)
    if not found:
        raise ProviderError(f'disk "{disk["label"]}": no {kind} controller')
    backing = DEVICE.VirtualDisk.FlatVer2BackingInfo(
        diskMode=disk["diskMode"],
        thinProvisioned=disk["thinProvisioned"],
        eagerlyScrub=bool(disk.get("eagerlyScrub")),
        sharing=disk["diskSharing"],
        writeThrough=bool(disk.get("writeThrough")),
        fileName="",
    )
    device = DEVICE.VirtualDisk(
        key=keys.take(),
        controllerKey=found[0].key,
        unitNumber=disk.get("unitNumber") or 0,
        capacityInKB=disk["size"] * KIB_PER_GIB,
        capacityInBytes=disk["size"] * KIB_PER_GIB * 1024,
        backing=backing,
    )
    return spec(ADD, device, "create")


def free_card_unit(hardware: list[Any]) -> int:
    """Return the next place on the PCI bus for a network card."""
    cards = [d for d in hardware if isinstance(d, DEVICE.VirtualEthernetCard)]
    return max((d.unitNumber + 1 for d in cards if d.unitNumber), default=FIRST_CARD_UNIT)


def new_card(session: Session, interface: Props, keys: Keys, unit: int) -> Any:
    """Return the change that adds a network card."""
    kind = ADAPTERS[interface["adapterType"]]
    level = interface["bandwidthShareLevel"]
    count = interface.get("bandwidthShareCount")
    device = kind(
        key=keys.take(),
        controllerKey=PCI_CONTROLLER,
        unitNumber=unit,
        resourceAllocation=DEVICE.VirtualEthernetCard.ResourceAllocation(
            limit=interface["bandwidthLimit"],
            reservation=interface.get("bandwidthReservation") or 0,
            share=vim.SharesInfo(
                level=level, shares=count if level == "custom" and isinstance(count, int) else 0
            ),
        ),
        backing=network_backing(session, interface["networkId"]),
        connectable=DEVICE.VirtualDevice.ConnectInfo(
            startConnected=True, allowGuestControl=True, connected=True
        ),
        addressType="generated",
    )
    if interface.get("useStaticMac") and interface.get("macAddress"):
        device.addressType, device.macAddress = "manual", interface["macAddress"]
    return spec(ADD, device)


def network_backing(session: Session, network_id: str) -> Any:
    """Return what connects a card to a network or a distributed port group."""
    if network_id.startswith("dvportgroup"):
        group = session.reference(vim.dvs.DistributedVirtualPortgroup, network_id)
        config = session.properties(group, "config", "key")
        switch = config["config"].distributedVirtualSwitch
        uuid = session.properties(switch, "uuid")["uuid"]
        return DEVICE.VirtualEthernetCard.DistributedVirtualPortBackingInfo(
            port=vim.dvs.PortConnection(portgroupKey=config["key"], switchUuid=uuid)
        )
    network = session.reference(vim.Network, network_id)
    name = session.properties(network, "name")["name"]
    return DEVICE.VirtualEthernetCard.NetworkBackingInfo(network=network, deviceName=name)


def new_passthrough(session: Session, host_id: str, device_id: str, keys: Keys) -> Any:
    """Return the change that gives a host's PCI device to the machine."""
    host = session.reference(vim.HostSystem, host_id)
    found = session.properties(host, "hardware.pciDevice", "hardware.systemInfo.uuid")
    for device in found.get("hardware.pciDevice", []):
        if device.id == device_id:
            backing = DEVICE.VirtualPCIPassthrough.DeviceBackingInfo(
                id=device.id,
                deviceId=f"{device.deviceId & 0xFFFF:x}",
                vendorId=device.vendorId,
                deviceName=device.deviceName,
                systemId=str(found.get("hardware.systemInfo.uuid", "")),
            )
            return spec(ADD, DEVICE.VirtualPCIPassthrough(key=keys.take(), backing=backing))
    raise ProviderError(f"unable to locate PCI device: {device_id}")
