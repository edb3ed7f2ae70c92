"""What vCenter shows around the VMs: DRS, HA, storage, networks, template, licences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

RESPECT_RULES = "das.respectVmVmAntiAffinityRules"
"""Whether vSphere HA keeps VM-VM anti-affinity rules when it restarts VMs (default: true)."""

AUTOMATED = "fullyAutomated"
"""vSphere's word for a DRS that moves VMs by itself."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Settings of DRS and HA that decide where VMs may come to stand.

    ``drs_automation`` is vSphere's own word: manual, partiallyAutomated, fullyAutomated.
    """

    drs_enabled: bool = True
    drs_automation: str = AUTOMATED
    drs_overrides_allowed: bool = True
    ha_enabled: bool = True
    ha_host_monitoring: bool = True
    ha_admission_control: bool = True
    ha_failover_level: int = 1
    ha_respects_rules: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and for the record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClusterSettings:
        """Return the settings of what ``as_dict`` gave; keys of other releases are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def differences(self, wanted: ClusterSettings) -> tuple[tuple[str, Any, Any], ...]:
        """Return (setting, seen, wanted) of every setting that is not as wanted."""
        return tuple(
            (f.name, getattr(self, f.name), getattr(wanted, f.name))
            for f in fields(self)
            if getattr(self, f.name) != getattr(wanted, f.name)
        )


@dataclass(frozen=True, slots=True)
class DatastoreFacts:
    """One datastore; sizes in GiB, rounded down."""

    name: str
    free_gib: int
    capacity_gib: int
    is_accessible: bool = True
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """A template that VMs are cloned from. ``hardware_version`` is vSphere's vmx-NN."""

    name: str
    disk_gib: int
    firmware: str
    hardware_version: str
    guest_id: str = ""

    @property
    def version_number(self) -> int:
        """The number of the hardware version; 0 where it cannot be read."""
        digits = self.hardware_version.removeprefix("vmx-")
        return int(digits) if digits.isdigit() else 0


@dataclass(frozen=True, slots=True)
class LicenseFacts:
    """One licence of the vCenter: edition, and the keys of the features that it names."""

    edition: str
    name: str
    features: frozenset[str] = frozenset()

    @property
    def is_evaluation(self) -> bool:
        """Whether it is the evaluation, which has every feature for 60 days."""
        return self.edition == "eval"
