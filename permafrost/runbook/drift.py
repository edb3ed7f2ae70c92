"""Look for drift; refuse what builds on it; record what a person accepts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from permafrost.engine.observe import observe_machines
from permafrost.engine.state import Phase
from permafrost.errors import Failed, Refused
from permafrost.planning.drift import Baseline, find_drift
from permafrost.planning.drift_report import Drift
from permafrost.planning.live import LiveState
from permafrost.planning.ownership import category_name
from permafrost.planning.snapshot import Inventory, VmFacts
from permafrost.runbook.by_hand import by_hand
from permafrost.runbook.context import Context
from permafrost.topology import nodes

BASELINE = "cluster-baseline"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What stands where, and what of it is not as deployed."""

    site: str
    inventory: Inventory
    vms: tuple[VmFacts, ...]
    drift: tuple[Drift, ...]
    has_baseline: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "site": self.site,
            "drift": [d.as_dict() for d in self.drift],
            "vms": [self._vm(vm) for vm in self.vms],
            "cluster": self.inventory.cluster.as_dict(),
            "has_baseline": self.has_baseline,
            "hosts": [
                {
                    "name": h.name,
                    "connected": h.connected,
                    "in_maintenance": h.in_maintenance,
                    "gpus": [
                        {"address": g.address, "kind": g.vendor_device, "used_by": g.used_by}
                        for g in h.gpus
                        if g.is_passthrough
                    ],
                    "vgpu_profiles": list(h.vgpu_profiles),
                }
                for h in self.inventory.hosts
            ],
        }

    def _vm(self, vm: VmFacts) -> dict[str, Any]:
        return {
            "name": vm.name,
            "host": vm.host,
            "gpus": list(vm.gpus),
            "vgpus": list(vm.vgpus),
            "datastores": list(vm.datastores),
            "networks": list(vm.networks),
            "power": "on" if vm.is_on else "off",
            "rules": [r.name for r in self.inventory.rules_of(vm.name)],
            "drs_override": vm.drs_override,
            "ha_override": vm.ha_override,
            "attributes": dict(vm.attributes),
        }


def drift_of(ctx: Context, live: LiveState, *, with_tags: bool = False) -> tuple[Drift, ...]:
    """Return the drift that a snapshot shows; nothing is concluded from a blind one.

    Tags come from a service of their own: they are asked for only where drift is the question.
    """
    if live.blind:
        return ()
    recorded = ctx.store.placement()
    asks = with_tags and any(live.inventory.vm(name) is not None for name in recorded)
    return find_drift(
        ctx.site,
        live.inventory,
        recorded=recorded,
        baseline=_baseline(ctx),
        declared=ctx.store.declared(),
        tagged=ctx.hypervisor.tagged(category_name(ctx.site)) if asks else None,
    )


def read_drift(ctx: Context) -> DriftReport:
    """Return the report of what vCenter shows now; Failed when it cannot be asked."""
    live = observe_machines(ctx.hypervisor)
    if live.blind:
        raise Failed(*live.blind)
    known = {n.name for n in nodes(ctx.site)} | set(ctx.store.placement())
    return DriftReport(
        ctx.site.site,
        live.inventory,
        tuple(vm for vm in live.inventory.vms if vm.name in known),
        drift_of(ctx, live, with_tags=True),
        _baseline(ctx) is not None,
    )


def refuse(drift: Iterable[Drift]) -> None:
    """Raise Refused when there is any of it."""
    if problems := [d.as_problem() for d in drift]:
        raise Refused(*problems)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The drift that it ended, and where that is told."""

    ended: tuple[Drift, ...]
    operation: str
    receipt: str


def accept_settings(ctx: Context, *, owner: str) -> Accepted:
    """Record the cluster's settings as they are now; the receipt has those of before too."""
    seen = read_drift(ctx)
    ctx.guard()
    before = {"baseline": ctx.store.recall(BASELINE)}
    with by_hand(
        ctx, "drift accept", "cluster", owner=owner, before=before, named="drift --accept"
    ) as by:
        settings = Baseline.of(ctx.site, seen.inventory).as_dict()
        by.journal("accept", "cluster", Phase.INTENT, settings)
        ctx.store.remember(BASELINE, settings)
        by.journal("accept", "cluster", Phase.DONE, settings)
        by.end({"baseline": settings})
    left = drift_of(ctx, LiveState(inventory=seen.inventory), with_tags=True)
    ended = tuple(d for d in seen.drift if d not in left)
    return Accepted(ended, by.journal.id, by.receipt)


def record_baseline(ctx: Context) -> None:
    """Record what a deployment that went well has left behind."""
    inventory = ctx.hypervisor.observe()
    ctx.store.remember(BASELINE, Baseline.of(ctx.site, inventory).as_dict())


def _baseline(ctx: Context) -> Baseline | None:
    found = ctx.store.recall(BASELINE)
    return None if found is None else Baseline.from_dict(found)
