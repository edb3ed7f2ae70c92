"""VMs whose vGPU is not the one that the site asks for, or whose host offers it no longer."""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.planning.demand import wanted_vgpus
from permafrost.planning.drift_report import Drift, DriftCode, reservation_lost
from permafrost.planning.snapshot import Inventory
from permafrost.planning.vgpu import missing_profile
from permafrost.site.model import Site
from permafrost.topology import Node


def vgpu_drift(site: Site, node: Node, inventory: Inventory) -> Iterator[Drift]:
    """Return what a VM that is to have vGPUs lacks of them; its host may be any that offers it."""
    vm, wanted = inventory.vm(node.name), wanted_vgpus(site, node)
    if vm is None or not wanted:
        return
    if vm.vgpus != wanted:
        yield Drift(
            DriftCode.VGPU_CHANGED,
            node.name,
            f"with {', '.join(vm.vgpus) or 'no vGPU'}",
            f"with {', '.join(wanted)}",
            node.endpoint,
        )
    host = inventory.host(vm.host)
    if host is not None and (missing := missing_profile(wanted[0], host)):
        yield Drift(
            DriftCode.VGPU_MISSING,
            node.name,
            f"{vm.host} {missing}",
            f"a host that offers {wanted[0]}: elsewhere the VM will not power on again",
            node.endpoint,
        )
    if vm.vgpus and not vm.is_fully_reserved:
        yield reservation_lost(node, vm)
