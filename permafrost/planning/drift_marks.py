"""VMs that lack what sets them apart: overrides of DRS and HA, tags, custom attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from permafrost.planning.drift_report import Drift, DriftCode
from permafrost.planning.ownership import attributes_of, category_name, override_of, tag_name

if TYPE_CHECKING:
    from permafrost.planning.slots import Slot
    from permafrost.planning.snapshot import Inventory
    from permafrost.site.model import Site
    from permafrost.topology import Node

_AS_CLUSTER = "that of the cluster"


def override_drift(node: Node, slot: Slot, inventory: Inventory) -> Iterator[Drift]:
    """Return what DRS and HA may do to a VM that is bound to its host."""
    vm, wanted = inventory.vm(node.name), override_of(slot)
    if vm is None or wanted is None or not vm.gpus:
        return
    if vm.drs_override != wanted.drs:
        yield Drift(
            DriftCode.DRS_OVERRIDE,
            node.name,
            f"its own automation level is {vm.drs_override or _AS_CLUSTER}",
            f"{wanted.drs}: it cannot be moved",
            node.endpoint,
        )
    if vm.ha_override != wanted.ha:
        yield Drift(
            DriftCode.HA_OVERRIDE,
            node.name,
            f"its restart priority is {vm.ha_override or _AS_CLUSTER}",
            f"{wanted.ha}: it cannot be started elsewhere",
            node.endpoint,
        )


def mark_drift(
    site: Site, node: Node, inventory: Inventory, tagged: Mapping[str, frozenset[str]] | None
) -> Iterator[Drift]:
    """Return what is missing of the marks that say whose a VM is."""
    vm = inventory.vm(node.name)
    if vm is None:
        return
    has = dict(vm.attributes)
    missing = [
        f"{name} is {has.get(name) or 'not set'}"
        for name, value in attributes_of(site, node).items()
        if has.get(name) != value
    ]
    tag = tag_name(site, node)
    if tagged is not None and tag not in tagged.get(vm.moid, frozenset()):
        missing.append(f"it has no tag {tag} of {category_name(site)}")
    if missing:
        yield Drift(
            DriftCode.OWNER_UNMARKED,
            node.name,
            "; ".join(missing),
            "marked as the site's",
            node.endpoint,
        )
