"""Kinds of drift, what each means for the operations, and how one is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from permafrost.errors import Problem
from permafrost.planning.snapshot import VmFacts
from permafrost.topology import Node


class DriftCode(StrEnum):
    """Stable codes; scripts rely on them."""

    TOGETHER = "DRIFT_TOGETHER"
    RULE_MISSING = "DRIFT_RULE_MISSING"
    RULE_DISABLED = "DRIFT_RULE_DISABLED"
    RULE_NOT_MANDATORY = "DRIFT_RULE_NOT_MANDATORY"
    RULE_MEMBERS = "DRIFT_RULE_MEMBERS"
    RULE_AGAINST = "DRIFT_RULE_AGAINST"
    OUTSIDE_DOMAIN = "DRIFT_OUTSIDE_DOMAIN"
    DEVICE_MOVED = "DRIFT_DEVICE_MOVED"
    DEVICE_TAKEN = "DRIFT_DEVICE_TAKEN"
    VGPU_CHANGED = "DRIFT_VGPU_CHANGED"
    VGPU_MISSING = "DRIFT_VGPU_MISSING"
    RESERVATION_LOST = "DRIFT_RESERVATION_LOST"
    VM_OFF = "DRIFT_VM_OFF"
    VM_MISSING = "DRIFT_VM_MISSING"
    VM_UNFINISHED = "DRIFT_VM_UNFINISHED"
    DRS_CHANGED = "DRIFT_DRS_CHANGED"
    HA_CHANGED = "DRIFT_HA_CHANGED"
    DRS_OVERRIDE = "DRIFT_DRS_OVERRIDE"
    HA_OVERRIDE = "DRIFT_HA_OVERRIDE"
    OWNER_UNMARKED = "DRIFT_OWNER_UNMARKED"


BY_REFRESH = frozenset(
    {
        DriftCode.RULE_MISSING,
        DriftCode.RULE_DISABLED,
        DriftCode.RULE_NOT_MANDATORY,
        DriftCode.RULE_MEMBERS,
        DriftCode.RESERVATION_LOST,
        DriftCode.VM_MISSING,
        DriftCode.VM_UNFINISHED,
        DriftCode.DRS_OVERRIDE,
        DriftCode.HA_OVERRIDE,
    }
)
"""What Pulumi puts right once it has looked at vCenter again: without, it sees no drift."""

BY_DEPLOY = BY_REFRESH | {DriftCode.VM_OFF, DriftCode.OWNER_UNMARKED}
"""What ``deploy`` mends, and what therefore does not block it."""

OF_ITSELF = frozenset(
    {
        DriftCode.DEVICE_MOVED,
        DriftCode.DEVICE_TAKEN,
        DriftCode.VGPU_CHANGED,
        DriftCode.VGPU_MISSING,
        DriftCode.RESERVATION_LOST,
    }
)
"""What would keep a replica's own VM from coming back after a power-cycle."""

OF_ITS_ENDPOINT = frozenset(
    {
        DriftCode.TOGETHER,
        DriftCode.RULE_MISSING,
        DriftCode.RULE_DISABLED,
        DriftCode.RULE_NOT_MANDATORY,
        DriftCode.RULE_MEMBERS,
        DriftCode.RULE_AGAINST,
        DriftCode.OUTSIDE_DOMAIN,
    }
)
"""What lets the replicas that stay share a fate while one is away."""

_DEPLOY = "`permafrost deploy` mends it"
_ACCEPT = (
    "put the setting back, or, where the change is meant, `permafrost drift --accept` records it"
)
HINTS = {
    DriftCode.TOGETHER: "move one of them to a host of its own (vMotion, or off, move, on)",
    DriftCode.RULE_MISSING: _DEPLOY,
    DriftCode.RULE_DISABLED: _DEPLOY,
    DriftCode.RULE_NOT_MANDATORY: _DEPLOY,
    DriftCode.RULE_MEMBERS: _DEPLOY,
    DriftCode.RULE_AGAINST: "remove or disable that rule",
    DriftCode.OUTSIDE_DOMAIN: "move it (vMotion) to a host of its own failure domain",
    DriftCode.DEVICE_MOVED: "drain it, power it off, and give it back its host and device",
    DriftCode.DEVICE_TAKEN: "take the device from that VM, or remove the VM",
    DriftCode.VGPU_CHANGED: "drain it, power it off, and give it the profile of the site file",
    DriftCode.VGPU_MISSING: "install the host's vGPU software, set its card to Shared Direct, or "
    "move the VM to a host that offers the profile",
    DriftCode.RESERVATION_LOST: _DEPLOY,
    DriftCode.VM_UNFINISHED: _DEPLOY,
    DriftCode.VM_OFF: "`permafrost deploy` powers it on; `permafrost drain` keeps it away",
    DriftCode.VM_MISSING: "`permafrost deploy` makes it anew",
    DriftCode.DRS_CHANGED: _ACCEPT,
    DriftCode.HA_CHANGED: _ACCEPT,
    DriftCode.DRS_OVERRIDE: _DEPLOY,
    DriftCode.HA_OVERRIDE: _DEPLOY,
    DriftCode.OWNER_UNMARKED: _DEPLOY,
}


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. ``target`` is a node, a rule or "cluster"; ``endpoint`` whose it is."""

    code: DriftCode
    target: str
    seen: str
    wanted: str
    endpoint: str = ""

    @property
    def is_mended_by_deploy(self) -> bool:
        """Whether a deployment puts it right."""
        return self.code in BY_DEPLOY

    @property
    def hint(self) -> str:
        """What to do."""
        return HINTS[self.code]

    def as_dict(self) -> dict[str, str | bool]:
        """Return plain values for JSON."""
        return {
            "code": self.code.value,
            "target": self.target,
            "endpoint": self.endpoint,
            "seen": self.seen,
            "wanted": self.wanted,
            "hint": self.hint,
            "mended_by_deploy": self.is_mended_by_deploy,
        }

    def as_problem(self) -> Problem:
        """Return it as the reason of a refusal."""
        message = f"vCenter shows: {self.seen}; wanted: {self.wanted}"
        return Problem(self.code.value, message, self.target, self.hint)

    def __str__(self) -> str:
        return f"{self.code.value} {self.target}: {self.seen}; wanted: {self.wanted}"


def reservation_lost(node: Node, vm: VmFacts) -> Drift:
    """Return what is said of a VM with a device whose memory is not all reserved any more."""
    return Drift(
        DriftCode.RESERVATION_LOST,
        node.name,
        f"{vm.memory_reservation_mib} MiB of {vm.memory_mib} MiB are reserved",
        "all of it: without, the VM will not power on again",
        node.endpoint,
    )


def blocks_deploy(drift: Iterable[Drift]) -> tuple[Drift, ...]:
    """Return what a deployment must not build upon."""
    return tuple(d for d in drift if not d.is_mended_by_deploy)


def unfinished(drift: Iterable[Drift]) -> frozenset[str]:
    """Return the VMs that an interrupted run left half made; a deployment makes them anew."""
    return frozenset(d.target for d in drift if d.code is DriftCode.VM_UNFINISHED)


def unmarked(drift: Iterable[Drift]) -> tuple[Drift, ...]:
    """Return the VMs that do not say whose they are; a deployment marks them as they run."""
    return tuple(d for d in drift if d.code is DriftCode.OWNER_UNMARKED)


def needs_refresh(drift: Iterable[Drift]) -> bool:
    """Whether Pulumi must look at vCenter again to see what it has to mend."""
    return any(d.code in BY_REFRESH for d in drift)


def blocks_drain(drift: Iterable[Drift], replica: str, endpoint: str) -> tuple[Drift, ...]:
    """Return what makes it unsafe to take a replica away now."""
    return tuple(
        d
        for d in drift
        if (d.target == replica and d.code in OF_ITSELF)
        or (d.endpoint == endpoint and d.code in OF_ITS_ENDPOINT)
    )
