"""The VM of one edge: HAProxy, no device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.components.node_vm import NodeVm, base_arguments

if TYPE_CHECKING:
    from permafrost.planning.placement import Slot
    from permafrost.site.model import Site
    from permafrost.topology import Node


class EdgeVm(NodeVm):
    """One edge; vCenter may move it while it runs."""

    @staticmethod
    def arguments(site: Site, node: Node, slot: Slot) -> dict[str, Any]:
        """Return the VM's own settings."""
        del slot
        return base_arguments(site, node)
