"""The properties of a VirtualMachine."""

from __future__ import annotations

from lab.provider.schema import (
    Schema,
    flag,
    mapping,
    objects,
    single,
    text,
    text_set,
    texts,
    whole,
)

LEVELS = ("low", "normal", "high", "custom")
ADAPTERS = ("e1000", "e1000e", "sriov", "vmxnet3", "vmxnet3vrdma")

DISK: Schema = {
    "label": text(required=True),
    "attach": flag(implied=False),
    "controllerType": text(default="scsi", choices=("scsi", "sata", "nvme", "ide")),
    "datastoreId": text(computed=True),
    "deviceAddress": text(output=True),
    "diskMode": text(default="persistent"),
    "diskSharing": text(default="sharingNone"),
    "eagerlyScrub": flag(implied=False),
    "ioLimit": whole(default=-1),
    "ioReservation": whole(implied=0),
    "ioShareCount": whole(implied=0),
    "ioShareLevel": text(default="normal", choices=LEVELS),
    "keepOnRemove": flag(implied=False),
    "key": whole(output=True),
    "path": text(computed=True),
    "size": whole(),
    "storagePolicyId": text(computed=True),
    "thinProvisioned": flag(default=True),
    "unitNumber": whole(implied=0),
    "uuid": text(output=True),
    "writeThrough": flag(implied=False),
}

NETWORK_INTERFACE: Schema = {
    "networkId": text(required=True),
    "adapterType": text(default="vmxnet3", choices=ADAPTERS),
    "bandwidthLimit": whole(default=-1),
    "bandwidthReservation": whole(implied=0),
    "bandwidthShareCount": whole(computed=True),
    "bandwidthShareLevel": text(default="normal", choices=LEVELS),
    "deviceAddress": text(output=True),
    "externalPortId": text(output=True),
    "key": whole(output=True),
    "macAddress": text(computed=True),
    "ovfMapping": text(),
    "physicalFunction": text(),
    "useStaticMac": flag(),
}

CDROM: Schema = {
    "clientDevice": flag(),
    "datastoreId": text(),
    "deviceAddress": text(output=True),
    "key": whole(output=True),
    "path": text(),
}

CLONE: Schema = {
    "templateUuid": text(required=True),
    "customizationSpec": single({"id": text(required=True), "timeout": whole(default=10)}),
    "customize": single({}),
    "linkedClone": flag(),
    "ovfNetworkMap": mapping(),
    "ovfStorageMap": mapping(),
    "timeout": whole(default=30),
}

SCHEMA: Schema = {
    "alternateGuestName": text(),
    "annotation": text(computed=True),
    "bootDelay": whole(),
    "bootRetryDelay": whole(default=10000),
    "bootRetryEnabled": flag(),
    "cdroms": objects(CDROM, terraform="cdrom"),
    "changeVersion": text(output=True),
    "clone": single(CLONE),
    "cpuHotAddEnabled": flag(),
    "cpuHotRemoveEnabled": flag(),
    "cpuLimit": whole(default=-1),
    "cpuPerformanceCountersEnabled": flag(),
    "cpuReservation": whole(),
    "cpuShareCount": whole(computed=True),
    "cpuShareLevel": text(default="normal", choices=LEVELS),
    "customAttributes": mapping(),
    "datacenterId": text(),
    "datastoreClusterId": text(),
    "datastoreId": text(computed=True),
    "defaultIpAddress": text(output=True),
    "disks": objects(DISK, terraform="disk"),
    "efiSecureBootEnabled": flag(),
    "enableDiskUuid": flag(),
    "enableLogging": flag(),
    "eptRviMode": text(computed=True),
    "evcMode": text(),
    "extraConfig": mapping(),
    "extraConfigRebootRequired": flag(default=True),
    "firmware": text(default="bios", choices=("bios", "efi")),
    "folder": text(),
    "forcePowerOff": flag(default=True),
    "guestId": text(computed=True),
    "guestIpAddresses": texts(output=True),
    "hardwareVersion": whole(computed=True),
    "hostSystemId": text(computed=True),
    "hvMode": text(computed=True),
    "ideControllerCount": whole(default=2),
    "ignoredGuestIps": texts(),
    "imported": flag(output=True),
    "latencySensitivity": text(implied="normal", choices=("low", "normal", "medium", "high")),
    "memory": whole(default=1024),
    "memoryHotAddEnabled": flag(),
    "memoryLimit": whole(default=-1),
    "memoryReservation": whole(),
    "memoryReservationLockedToMax": flag(),
    "memoryShareCount": whole(computed=True),
    "memoryShareLevel": text(default="normal", choices=LEVELS),
    "migrateWaitTimeout": whole(default=30),
    "moid": text(output=True),
    "name": text(length=(1, 80)),
    "nestedHvEnabled": flag(),
    "networkInterfaces": objects(NETWORK_INTERFACE, terraform="network_interface"),
    "numCoresPerNumaNode": whole(),
    "numCoresPerSocket": whole(default=1),
    "numCpus": whole(default=1),
    "nvmeControllerCount": whole(implied=0),
    "ovfDeploy": single({}),
    "pciDeviceIds": texts(terraform="pci_device_id", needs="hostSystemId"),
    "powerState": text(output=True),
    "poweronTimeout": whole(default=300),
    "rebootRequired": flag(output=True),
    "replaceTrigger": text(replaces=True),
    "resourcePoolId": text(required=True),
    "runToolsScriptsAfterPowerOn": flag(default=True),
    "runToolsScriptsAfterResume": flag(default=True),
    "runToolsScriptsBeforeGuestReboot": flag(),
    "runToolsScriptsBeforeGuestShutdown": flag(default=True),
    "runToolsScriptsBeforeGuestStandby": flag(default=True),
    "sataControllerCount": whole(implied=0),
    "scsiBusSharing": text(default="noSharing"),
    "scsiControllerCount": whole(default=1),
    "scsiType": text(default="pvscsi"),
    "shutdownWaitTimeout": whole(default=3),
    "storagePolicyId": text(computed=True),
    "swapPlacementPolicy": text(default="inherit"),
    "syncTimeWithHost": flag(default=True),
    "syncTimeWithHostPeriodically": flag(),
    "tags": text_set(),
    "toolsUpgradePolicy": text(default="manual"),
    "uuid": text(output=True),
    "vapp": single({}),
    "vappTransports": texts(output=True),
    "vbsEnabled": flag(),
    "videoCard": single({}),
    "vmwareToolsStatus": text(output=True),
    "vmxPath": text(output=True),
    "vtpm": single({"version": text()}),
    "vvtdEnabled": flag(),
    "waitForGuestIpTimeout": whole(implied=0),
    "waitForGuestNetRoutable": flag(default=True),
    "waitForGuestNetTimeout": whole(default=5),
}

META = '{"schema_version":"3"}'

NO_RECONFIGURE = frozenset(
    {
        "clone", "customAttributes", "datastoreId", "extraConfigRebootRequired", "folder",
        "forcePowerOff", "hostSystemId", "ignoredGuestIps", "migrateWaitTimeout",
        "poweronTimeout", "replaceTrigger", "resourcePoolId", "shutdownWaitTimeout", "tags",
        "waitForGuestIpTimeout", "waitForGuestNetRoutable", "waitForGuestNetTimeout",
    }
)  # fmt: skip
"""Properties that only say how to operate, or that another call changes."""

REBOOTS = frozenset(
    {
        "alternateGuestName", "cpuHotAddEnabled", "cpuHotRemoveEnabled", "efiSecureBootEnabled",
        "enableDiskUuid", "enableLogging", "firmware", "guestId", "hardwareVersion",
        "memoryHotAddEnabled", "nestedHvEnabled", "numCoresPerSocket", "pciDeviceIds",
        "scsiControllerCount", "scsiType", "swapPlacementPolicy", "toolsUpgradePolicy", "vtpm",
    }
)  # fmt: skip
"""Properties whose change needs the machine to be off."""
