"""The VM of one knowledge member, with the disk that outlives everything else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi_vsphere as vsphere

from infra.components.node_vm import NodeVm, base_arguments
from permafrost.planning.knowledge import milvus_of

if TYPE_CHECKING:
    from permafrost.planning.placement import Slot
    from permafrost.site.model import Site
    from permafrost.topology import Node

DATA_DISK = "data"


class KnowledgeVm(NodeVm):
    """One member: protected, for its data goes with it; `permafrost destroy` lifts that."""

    holds_data = True

    @staticmethod
    def arguments(site: Site, node: Node, slot: Slot) -> dict[str, Any]:
        """Return the VM's own settings."""
        del slot
        return base_arguments(site, node)

    @staticmethod
    def data_disks(site: Site) -> list[vsphere.VirtualMachineDiskArgs]:
        """Return the disks behind the system's."""
        return [
            vsphere.VirtualMachineDiskArgs(
                label=DATA_DISK,
                size=milvus_of(site).data_disk_gib,
                unit_number=1,
                thin_provisioned=True,
            )
        ]
