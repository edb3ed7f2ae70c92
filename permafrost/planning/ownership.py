"""What says in vCenter whose a VM is, and what the cluster must not do to it by itself.

A site's VMs carry a tag (what it is for, in the site's own category: to search, to give rights
on, to leave out of somebody's backup job) and custom attributes (the same in words, beside the
VM). The category and the attributes bear the site's name: two sites at one vCenter do not share
them, for what one removes the other would miss.

A VM with a device that is passed through can be neither moved nor started elsewhere. DRS must
not advise it (manual), HA must not try (disabled): its restart would wait for a host that has
no such device, and meanwhile hold back what admission control reserves for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permafrost.topology import group_of

if TYPE_CHECKING:
    from permafrost.planning.slots import Slot
    from permafrost.site.model import Site
    from permafrost.topology import Node

MANUAL = "manual"
DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Override:
    """Settings of one VM that stand above the cluster's: DRS automation, HA restart priority."""

    drs: str
    ha: str


PINNED = Override(drs=MANUAL, ha=DISABLED)
"""What a VM with a passed-through device has."""


def override_of(slot: Slot) -> Override | None:
    """Return what a VM in this slot has of its own; None: as the cluster."""
    return PINNED if slot.gpus else None


def category_name(site: Site) -> str:
    """Return the tag category of a site."""
    return f"permafrost-{site.site}"


def tag_name(site: Site, node: Node) -> str:
    """Return the tag of a node: the group that it belongs to."""
    return group_of(site, node).name


def managed_by_name(site: Site) -> str:
    """Return the custom attribute that says what manages a VM."""
    return f"permafrost-{site.site}-managed-by"


def role_name(site: Site) -> str:
    """Return the custom attribute that says what a VM is for."""
    return f"permafrost-{site.site}-role"


def attributes_of(site: Site, node: Node) -> Mapping[str, str]:
    """Return the custom attributes of a node's VM, by name."""
    role = f"replica of {node.endpoint}" if node.endpoint else str(node.tier)
    return {
        managed_by_name(site): f"Permafrost, Pulumi stack {site.control.pulumi_stack}",
        role_name(site): role,
    }
