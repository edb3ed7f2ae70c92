"""What the vSphere provider does when a property of a VM changes, as recorded from it.

Each line was seen in ``tests/contract/provider/cases`` (suite vm-updates): the power events during
an update of a running VM. The provider's own preview does not say any of it: it answers
"update" whether the VM is power-cycled or not.
"""

from __future__ import annotations

from enum import StrEnum


class Doing(StrEnum):
    """What an update of a property comes to."""

    REPLACE = "replace"
    CYCLE = "cycle"
    MOVE = "move"
    RECONFIGURE = "reconfigure"
    NOTE = "note"


CYCLES = frozenset(
    {
        "cpuHotAddEnabled",
        "efiSecureBootEnabled",
        "enableDiskUuid",
        "enableLogging",
        "firmware",
        "guestId",
        "hardwareVersion",
        "memoryHotAddEnabled",
        "nestedHvEnabled",
        "numCoresPerSocket",
        "pciDeviceIds",
        "scsiControllerCount",
        "scsiType",
        "swapPlacementPolicy",
        "toolsUpgradePolicy",
        "vtpm",
    }
)
"""The guest is shut down, the VM reconfigured, powered on: 11 s off at least."""

RECONFIGURES = frozenset(
    {
        "annotation",
        "bootDelay",
        "cdroms",
        "cpuReservation",
        "cpuShareLevel",
        "disks",
        "latencySensitivity",
        "memoryLimit",
        "memoryReservation",
        "memoryReservationLockedToMax",
        "memoryShareLevel",
        "name",
        "networkInterfaces",
        "syncTimeWithHost",
    }
)
"""The VM is reconfigured while it runs. One that is off is powered on by it."""

MOVES = frozenset({"datastoreId", "hostSystemId", "resourcePoolId"})
"""The VM is relocated as it is, running or not; by its pool, where that is another cluster's."""

NOTES = frozenset(
    {
        "clone",
        "clone.timeout",
        "customAttributes",
        "extraConfigRebootRequired",
        "folder",
        "forcePowerOff",
        "poweronTimeout",
        "shutdownWaitTimeout",
        "tags",
        "waitForGuestNetTimeout",
    }
)
"""The VM itself is not reconfigured: settings of the provider, or of the inventory around it."""

REPLACES = frozenset(
    {"clone.customize", "clone.linkedClone", "clone.templateUuid", "replaceTrigger"}
)
"""The VM is deleted, then made anew from the template."""

NOISE = ("clone.ovfNetworkMap", "clone.ovfStorageMap", "__")
"""Shown as added with any other change; ``__meta`` only repeats that something replaces."""
