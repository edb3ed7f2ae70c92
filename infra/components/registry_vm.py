"""The VM of the site's registry, with the disk of its images and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.components.node_vm import NodeVm, base_arguments

if TYPE_CHECKING:
    from permafrost.planning.placement import Slot
    from permafrost.site.model import Site
    from permafrost.topology import Node


class RegistryVm(NodeVm):
    """The registry: protected, for every checkpoint that is pinned goes with it."""

    holds_data = True

    @staticmethod
    def arguments(site: Site, node: Node, slot: Slot) -> dict[str, Any]:
        """Return the VM's own settings."""
        del slot
        return base_arguments(site, node)
