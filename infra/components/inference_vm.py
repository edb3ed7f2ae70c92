"""The VM of one replica, with what an accelerator that is passed through asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.components.node_vm import NodeVm, base_arguments
from permafrost.topology import endpoint_of

if TYPE_CHECKING:
    from permafrost.planning.placement import Slot
    from permafrost.site.model import Site
    from permafrost.topology import Node


class InferenceVm(NodeVm):
    """One replica of one endpoint."""

    @staticmethod
    def arguments(site: Site, node: Node, slot: Slot) -> dict[str, Any]:
        """Return the VM's own settings; its devices are those of the recorded placement."""
        arguments = base_arguments(site, node)
        if slot.gpus:
            arguments |= {
                # A device that is passed through may write to any page: all memory is reserved.
                "memory_reservation": arguments["memory"],
                "memory_reservation_locked_to_max": True,
                "pci_device_ids": list(slot.gpus),
                "extra_config": {
                    "pciPassthru.use64bitMMIO": "TRUE",
                    "pciPassthru.64bitMMIOSizeGB": str(endpoint_of(site, node).gpu.mmio_gib),
                },
            }
        return arguments
