"""The VM of one knowledge member, with the disk that outlives everything else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.components.node_vm import NodeVm, base_arguments

if TYPE_CHECKING:
    from permafrost.planning.placement import Slot
    from permafrost.site.model import Site
    from permafrost.topology import Node


class KnowledgeVm(NodeVm):
    """One member: protected, for its data goes with it; `permafrost destroy` lifts that."""

    holds_data = True

    @staticmethod
    def arguments(site: Site, node: Node, slot: Slot) -> dict[str, Any]:
        """Return the VM's own settings."""
        del slot
        return base_arguments(site, node)
