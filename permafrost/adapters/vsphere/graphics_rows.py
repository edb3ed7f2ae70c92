"""Cards that a host shares out as vGPUs, and who runs on each, out of a traversal's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyVmomi import vim

from permafrost.planning.snapshot import GraphicsCard

Row = Mapping[str, Any]
Held = Mapping[str, tuple[str, tuple[str, ...]]]
"""Name and profiles of VMs, by their id."""

SHARED_DIRECT = "sharedDirect"
DEVICES = "config.hardware.device"


def cards_of(row: Row, held: Held) -> tuple[GraphicsCard, ...]:
    """Return the graphics cards of a host.

    A VM with several vGPUs is shown by vCenter on each of its cards, not how many it has there:
    all of them are charged to each.
    """
    found = []
    for card in row.get("config.graphicsInfo") or ():
        users = [
            (name, profile)
            for reference in card.vm or ()
            for name, profiles in (held.get(str(reference._moId), (str(reference._moId), ("",))),)
            for profile in profiles or ("",)
        ]
        found.append(
            GraphicsCard(
                address=_full(str(card.pciId or "")),
                name=str(card.deviceName or ""),
                is_shared=str(card.graphicsType) == SHARED_DIRECT,
                users=tuple(sorted(users)),
            )
        )
    return tuple(sorted(found, key=lambda c: c.address))


def profiles_of(row: Row) -> tuple[str, ...]:
    """Return the vGPU profiles that a host offers."""
    return tuple(sorted({str(name) for name in row.get("config.sharedPassthruGpuTypes") or ()}))


def shared_from(row: Row) -> Iterator[str]:
    """Yield the profiles of the vGPUs that a VM has."""
    for device in row.get(DEVICES) or ():
        backing = getattr(device, "backing", None)
        if isinstance(backing, vim.vm.device.VirtualPCIPassthrough.VmiopBackingInfo):
            yield str(backing.vgpu)


def _full(address: str) -> str:
    """Return a PCI address with its segment: of graphics cards vCenter may leave it out."""
    return address if address.count(":") != 1 else f"0000:{address}"
