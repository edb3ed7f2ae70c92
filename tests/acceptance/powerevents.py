"""What vCenter's own events say became of the power of VMs, read with pyvmomi alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from pyVmomi import vim

from tests.acceptance.driver import VCenter

VERBS = {
    "VmPoweredOffEvent": "off",
    "VmPoweredOnEvent": "on",
    "DrsVmPoweredOnEvent": "on",
    "VmResettingEvent": "reset",
    "VmGuestRebootEvent": "reboot",
    "VmRemovedEvent": "destroy",
}
FORETOLD = {
    "power-cycled": ["off", "on"],
    "replaced": ["off", "destroy", "on"],
    "untouched": [],
}
"""What must have happened to a VM of which the reboot gate says this."""

Event = tuple[int, str, str]
"""Its key, the VM's name, what happened to it."""


def power_events(vsphere: VCenter, since: int = -1) -> list[Event]:
    """Return the events after the one with that key, in vCenter's own order."""
    asked = vim.event.EventFilterSpec(eventTypeId=sorted(VERBS))
    found = vsphere.content.eventManager.QueryEvents(asked) or []
    told = ((e.key, e.vm.name, type(e).__name__.rpartition(".")[2]) for e in found)
    return sorted((key, name, VERBS[kind]) for key, name, kind in told if key > since)


def latest(vsphere: VCenter) -> int:
    """Return the key of the latest event: what comes after it is new."""
    return max((key for key, _, _ in power_events(vsphere)), default=-1)


def happened(events: Iterable[Event], names: Iterable[str]) -> dict[str, list[str]]:
    """Return what happened to each of these VMs, and to any other one that was touched."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for _, name, verb in events:
        found.setdefault(name, []).append(verb)
    return found


def turns(events: Iterable[Event], among: Iterable[str]) -> list[str]:
    """Return who was touched, in order: a name comes twice where another one came between."""
    wanted = frozenset(among)
    return [name for name, _ in groupby(name for _, name, _ in events if name in wanted)]
