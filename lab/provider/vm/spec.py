"""The configuration that a planned machine needs, in vSphere's terms."""

from __future__ import annotations

from typing import Any

from lab.provider.errors import ProviderError
from lab.provider.session import Session
from lab.provider.values import UNKNOWN, Props
from lab.provider.vm import devices
from lab.provider.vm.plan import is_removed
from lab.provider.vsphere import vim


def settings(planned: Props, olds: Props | None) -> Any:
    """Return the settings of a machine, hardware aside."""
    reservation = planned.get("memoryReservation") or 0
    return vim.vm.ConfigSpec(
        name=planned["name"],
        guestId=_said(planned, "guestId"),
        alternateGuestName=planned.get("alternateGuestName") or None,
        annotation=_said(planned, "annotation"),
        numCPUs=planned["numCpus"],
        numCoresPerSocket=planned["numCoresPerSocket"],
        memoryMB=planned["memory"],
        cpuHotAddEnabled=bool(planned.get("cpuHotAddEnabled")),
        cpuHotRemoveEnabled=bool(planned.get("cpuHotRemoveEnabled")),
        memoryHotAddEnabled=bool(planned.get("memoryHotAddEnabled")),
        # The provider locks by the figures, whatever the program says of the lock.
        memoryReservationLockedToMax=reservation == planned["memory"],
        cpuAllocation=_allocation(planned, "cpu"),
        memoryAllocation=_allocation(planned, "memory"),
        latencySensitivity=vim.LatencySensitivity(level=planned["latencySensitivity"]),
        nestedHVEnabled=bool(planned.get("nestedHvEnabled")),
        vPMCEnabled=bool(planned.get("cpuPerformanceCountersEnabled")),
        swapPlacement=planned["swapPlacementPolicy"],
        firmware=planned["firmware"],
        bootOptions=vim.vm.BootOptions(
            bootDelay=planned.get("bootDelay") or 0,
            bootRetryDelay=planned["bootRetryDelay"],
            bootRetryEnabled=bool(planned.get("bootRetryEnabled")),
            efiSecureBootEnabled=bool(planned.get("efiSecureBootEnabled")),
        ),
        flags=vim.vm.FlagInfo(
            diskUuidEnabled=bool(planned.get("enableDiskUuid")),
            enableLogging=bool(planned.get("enableLogging")),
        ),
        tools=vim.vm.ToolsConfigInfo(
            syncTimeWithHost=planned["syncTimeWithHost"],
            toolsUpgradePolicy=planned["toolsUpgradePolicy"],
            afterPowerOn=planned["runToolsScriptsAfterPowerOn"],
            afterResume=planned["runToolsScriptsAfterResume"],
            beforeGuestReboot=bool(planned.get("runToolsScriptsBeforeGuestReboot")),
            beforeGuestShutdown=planned["runToolsScriptsBeforeGuestShutdown"],
            beforeGuestStandby=planned["runToolsScriptsBeforeGuestStandby"],
        ),
        extraConfig=_extra_config(planned, olds),
    )


def _said(planned: Props, key: str) -> str | None:
    value = planned.get(key)
    return None if value in (None, UNKNOWN) else str(value)


def _allocation(planned: Props, what: str) -> Any:
    level, count = planned[f"{what}ShareLevel"], planned.get(f"{what}ShareCount")
    custom = level == "custom" and isinstance(count, int)
    return vim.ResourceAllocationInfo(
        reservation=planned.get(f"{what}Reservation") or 0,
        limit=planned[f"{what}Limit"],
        shares=vim.SharesInfo(level=level, shares=count if custom else 0),
    )


def _extra_config(planned: Props, olds: Props | None) -> list[Any]:
    """Return only what changes: vCenter writes what it is given, and forgets a key by ""."""
    wanted = planned.get("extraConfig") or {}
    had = (olds or {}).get("extraConfig") or {}
    changed = {k: v for k, v in wanted.items() if had.get(k) != v}
    gone = {k: "" for k in had if k not in wanted}
    return [vim.option.OptionValue(key=k, value=v) for k, v in {**changed, **gone}.items()]


class HardwareChanges:
    """Collects the changes of hardware that lead from a machine's devices to the plan."""

    def __init__(self, session: Session, hardware: list[Any]) -> None:
        self.session = session
        self.hardware = hardware
        self.keys = devices.Keys()
        self.specs: list[Any] = []

    def scsi(self, wanted: str) -> None:
        """Put SCSI controllers of the wanted type in the place of others, disks and all."""
        kind = devices.SCSI_TYPES.get(wanted)
        if kind is None:
            return
        for old in devices.controllers(self.hardware, "scsi"):
            if type(old) is kind:
                continue
            new = kind(
                key=self.keys.take(),
                busNumber=old.busNumber,
                controllerKey=old.controllerKey,
                sharedBus="noSharing",
            )
            self.specs += [devices.spec(devices.REMOVE, old), devices.spec(devices.ADD, new)]
            self.hardware = [new if d is old else d for d in self.hardware]
            for device in self.hardware:
                if device.controllerKey == old.key:
                    device.controllerKey = new.key
                    self._edit(device)

    def _edit(self, device: Any) -> None:
        if not any(s.device is device for s in self.specs):
            self.specs.append(devices.spec(devices.EDIT, device))

    def clone_disks(self, planned: list[Props]) -> None:
        """Fit a fresh clone's disks, by their places, and add the rest."""
        sources = devices.disks(self.hardware)
        ordered = sorted(planned, key=lambda d: d.get("unitNumber") or 0)
        for source, disk in zip(sources, ordered, strict=False):
            self._grow(source, disk["size"])
        for disk in ordered[len(sources) :]:
            self.specs.append(devices.new_disk(disk, self.hardware, self.keys))

    def update_disks(self, olds: list[Props], planned: list[Props]) -> None:
        """Grow, remove and add disks; raises ProviderError for what cannot be changed."""
        present = {d.key: d for d in devices.disks(self.hardware)}
        for i, disk in enumerate(planned):
            old = olds[i] if i < len(olds) else None
            device = present.get(old["key"]) if old else None
            if device is None:
                self.specs.append(devices.new_disk(disk, self.hardware, self.keys))
            elif is_removed(disk):
                keep = disk.get("keepOnRemove")
                self.specs.append(
                    devices.spec(devices.REMOVE, device, None if keep else "destroy")
                )
            elif old:
                _refuse_other_backing(i, old, disk)
                self._grow(device, disk["size"])

    def _grow(self, device: Any, size_gib: int) -> None:
        wanted = size_gib * devices.KIB_PER_GIB
        if device.capacityInKB < wanted:
            device.capacityInKB = wanted
            device.capacityInBytes = wanted * 1024
            self._edit(device)

    def network(self, planned: list[Props]) -> None:
        """Make the network cards those of the plan, in order."""
        cards = devices.network_cards(self.hardware)
        for i, interface in enumerate(planned):
            card = cards[i] if i < len(cards) else None
            if card is not None and devices.adapter_type(card) == interface["adapterType"]:
                if network_id(card) != interface["networkId"]:
                    card.backing = devices.network_backing(self.session, interface["networkId"])
                    self.specs.append(devices.spec(devices.EDIT, card))
                continue
            if card is not None:
                self.specs.append(devices.spec(devices.REMOVE, card))
            unit = devices.free_card_unit(self.hardware + [s.device for s in self.specs])
            self.specs.append(devices.new_card(self.session, interface, self.keys, unit))
        self.specs += [devices.spec(devices.REMOVE, c) for c in cards[len(planned) :]]

    def cdroms(self, planned: list[Props]) -> None:
        """Make the CD-ROM drives as many as planned."""
        drives = devices.cdroms(self.hardware)
        self.specs += [devices.spec(devices.REMOVE, d) for d in drives[len(planned) :]]
        for _ in planned[len(drives) :]:
            controller = devices.controllers(self.hardware, "ide")[0]
            drive = devices.DEVICE.VirtualCdrom(
                key=self.keys.take(),
                controllerKey=controller.key,
                unitNumber=0,
                backing=devices.DEVICE.VirtualCdrom.RemotePassthroughBackingInfo(
                    deviceName="", exclusive=False
                ),
            )
            self.specs.append(devices.spec(devices.ADD, drive))

    def passthrough(self, host_id: str, planned: list[str]) -> None:
        """Give the machine the planned PCI devices of its host, and no other."""
        present = {d.backing.id: d for d in devices.passthroughs(self.hardware)}
        self.specs += [
            devices.spec(devices.REMOVE, d) for i, d in present.items() if i not in planned
        ]
        for device_id in dict.fromkeys(planned):
            if device_id not in present:
                self.specs.append(
                    devices.new_passthrough(self.session, host_id, device_id, self.keys)
                )


def network_id(card: Any) -> str:
    """Return the id of the network that a card is connected to."""
    port = getattr(card.backing, "port", None)
    if port is not None:
        return str(port.portgroupKey)
    network = getattr(card.backing, "network", None)
    return network._moId if network is not None else ""


def _refuse_other_backing(index: int, old: Props, new: Props) -> None:
    for key, name in (("thinProvisioned", "thin_provisioned"), ("eagerlyScrub", "eagerly_scrub")):
        if bool(old.get(key)) != bool(new.get(key)):
            before, after = str(old[key]).lower(), str(new[key]).lower()
            raise ProviderError(
                f'disk.{index}: cannot change the value of "{name}" - '
                f"(old: {before} newValue: {after})"
            )
