"""Where vCenter is not as it was left: rules, devices, reservations, power, cluster settings.

Drift is the difference between what a deployment recorded and what one observation shows. It is
a function of values: the same record and the same snapshot give the same report.

What ``deploy`` mends (rules, reservations, VMs that are off or gone) does not block it; anything
else is a person's decision and blocks the next operation that relies on it. A VM without a
device may be moved by vCenter at any time: that is no drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from permafrost.planning.cluster import ClusterSettings
from permafrost.planning.drift_domains import domain_drift
from permafrost.planning.drift_marks import mark_drift, override_drift
from permafrost.planning.drift_report import Drift, DriftCode, reservation_lost
from permafrost.planning.drift_rules import rule_drift
from permafrost.planning.drift_vgpu import vgpu_drift
from permafrost.planning.lifecycle import Declared
from permafrost.planning.ownership import override_of
from permafrost.planning.placement import Placement, Slot
from permafrost.planning.snapshot import Inventory, VmFacts
from permafrost.site.model import Site
from permafrost.topology import Node, nodes


@dataclass(frozen=True, slots=True)
class Baseline:
    """Settings of the cluster as the last deployment left them, and the VMs' own automation."""

    settings: ClusterSettings = field(default_factory=ClusterSettings)
    drs_overrides: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the record."""
        return {"settings": self.settings.as_dict(), "drs_overrides": dict(self.drs_overrides)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Baseline:
        """Return the baseline of what ``as_dict`` gave."""
        return cls(
            ClusterSettings.from_dict(values.get("settings", {})),
            {str(k): str(v) for k, v in values.get("drs_overrides", {}).items()},
        )

    @classmethod
    def of(cls, site: Site, inventory: Inventory) -> Baseline:
        """Return what an observation shows, to be recorded."""
        ours = {node.name for node in nodes(site)}
        overrides = {vm.name: vm.drs_override for vm in inventory.vms if vm.name in ours}
        return cls(inventory.cluster, overrides)


def find_drift(
    site: Site,
    inventory: Inventory,
    *,
    recorded: Placement,
    baseline: Baseline | None = None,
    declared: Mapping[str, Declared] | None = None,
    tagged: Mapping[str, frozenset[str]] | None = None,
) -> tuple[Drift, ...]:
    """Return every difference, cluster first, then rules, then node by node.

    ``recorded`` is the placement of the last deployment (a node without a slot was never
    deployed), ``baseline`` its cluster settings (None: nothing to compare with), ``tagged`` the
    tags of the site's category by VM id (None: they were not asked for).
    """
    found = [
        *(_cluster_drift(inventory, baseline) if baseline else ()),
        *rule_drift(site, inventory, recorded),
        *domain_drift(site, inventory, recorded),
    ]
    for node in nodes(site):
        slot = recorded.get(node.name)
        if slot is not None:
            found += _node_drift(node, slot, inventory, (declared or {}).get(node.name))
            found += _foreign_holders(site, node, slot, inventory)
            found += vgpu_drift(site, node, inventory)
            found += override_drift(node, slot, inventory)
            found += mark_drift(site, node, inventory, tagged)
    if baseline is not None:
        pinned = {name for name, slot in recorded.items() if override_of(slot) is not None}
        found += _automation_drift((v for v in inventory.vms if v.name not in pinned), baseline)
    return tuple(found)


_SETTING_CODES = {"drs": DriftCode.DRS_CHANGED, "ha": DriftCode.HA_CHANGED}


def _cluster_drift(inventory: Inventory, baseline: Baseline) -> Iterator[Drift]:
    for setting, seen, wanted in inventory.cluster.differences(baseline.settings):
        code = _SETTING_CODES[setting.partition("_")[0]]
        yield Drift(code, "cluster", f"{setting} is {seen}", f"{setting} {wanted}")


def _automation_drift(vms: Iterable[VmFacts], baseline: Baseline) -> Iterator[Drift]:
    for vm in vms:
        wanted = baseline.drs_overrides.get(vm.name)
        if wanted is not None and vm.drs_override != wanted:
            yield Drift(
                DriftCode.DRS_CHANGED,
                vm.name,
                f"its own automation level is {vm.drs_override or 'that of the cluster'}",
                wanted or "that of the cluster",
            )


def _node_drift(
    node: Node, slot: Slot, inventory: Inventory, declared: Declared | None
) -> Iterator[Drift]:
    vm = inventory.vm(node.name)
    if vm is None:
        yield Drift(
            DriftCode.VM_MISSING, node.name, "vCenter has no such VM", f"on {slot.host}",
            node.endpoint,
        )  # fmt: skip
        return
    if slot.gpus and not vm.gpus and not vm.is_on and declared is None:
        yield Drift(
            DriftCode.VM_UNFINISHED, node.name, "off, without a device, and it never served",
            "an interrupted run left it half made", node.endpoint,
        )  # fmt: skip
        return
    if slot.gpus and (vm.host != slot.host or set(vm.gpus) != set(slot.gpus)):
        yield Drift(
            DriftCode.DEVICE_MOVED,
            node.name,
            f"on {vm.host} with {', '.join(vm.gpus) or 'no device'}",
            f"on {slot.host} with {', '.join(slot.gpus)}",
            node.endpoint,
        )
    if slot.gpus and not vm.is_fully_reserved:
        yield reservation_lost(node, vm)
    is_kept_off = declared is not None and declared.is_away and not declared.is_automatic
    if vm.is_connected and not vm.is_on and not is_kept_off:
        yield Drift(DriftCode.VM_OFF, node.name, f"powered off, on {vm.host}", "on", node.endpoint)


def _foreign_holders(site: Site, node: Node, slot: Slot, inventory: Inventory) -> Iterator[Drift]:
    """Find VMs that are not ours with a device that is, running or not."""
    ours = {n.name for n in nodes(site)}
    for vm in inventory.vms:
        taken = sorted(set(vm.gpus) & set(slot.gpus)) if vm.host == slot.host else []
        if taken and vm.name not in ours:
            yield Drift(
                DriftCode.DEVICE_TAKEN,
                node.name,
                f"{vm.name} ({'on' if vm.is_on else 'off'}) holds {', '.join(taken)} "
                f"of {slot.host}",
                "a device has one owner",
                node.endpoint,
            )
