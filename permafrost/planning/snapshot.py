"""What vCenter shows, as values: hosts with their GPUs, VMs, rules and cluster at one moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum

from permafrost.planning.cluster import (
    ClusterSettings,
    DatastoreFacts,
    LicenseFacts,
    TemplateFacts,
)


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One accelerator of a host. ``used_by`` is the VM that owns it, empty when free."""

    address: str
    vendor_device: str
    used_by: str = ""
    name: str = ""
    is_passthrough: bool = True


@dataclass(frozen=True, slots=True)
class GraphicsCard:
    """One card that the host itself drives, and so may share out as vGPUs.

    ``is_shared``: its graphics type is Shared Direct, without which it takes none. ``users`` are
    the VMs that run on it, (name, profile); a VM with several vGPUs stands there once for each.
    """

    address: str
    name: str
    is_shared: bool
    users: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One ESXi host: it is also the smallest failure domain.

    ``cpus`` are hardware threads, ``memory_mib`` all that is built in; 0 where vCenter does not
    say, and then they limit nothing. ``vgpu_profiles`` are what its vGPU software offers.
    """

    name: str
    moid: str
    connected: bool
    in_maintenance: bool
    gpus: tuple[GpuFacts, ...] = ()
    memory_mib: int = 0
    version: str = ""
    cpus: int = 0
    cards: tuple[GraphicsCard, ...] = ()
    vgpu_profiles: tuple[str, ...] = ()

    def gpu(self, address: str) -> GpuFacts | None:
        """Return an accelerator by its PCI address."""
        return next((g for g in self.gpus if g.address == address), None)

    @property
    def is_usable(self) -> bool:
        """Whether something new may be placed here."""
        return self.connected and not self.in_maintenance


@dataclass(frozen=True, slots=True)
class VmFacts:
    """One VM as it really is.

    ``gpus`` are the addresses on its host that it owns, ``vgpus`` the profiles of its vGPUs, of
    which vCenter picks the card. ``drs_override`` is the automation level
    of this VM alone ("" as the cluster, "disabled" none); ``ha_override`` its restart priority.
    ``attributes`` are its custom attributes, (name, value). ``address`` is the one that its Tools
    put first, ``addresses`` are those of all its cards.
    """

    name: str
    moid: str
    uuid: str
    host: str
    is_on: bool
    gpus: tuple[str, ...] = ()
    memory_mib: int = 0
    memory_reservation_mib: int = 0
    address: str = ""
    is_connected: bool = True
    is_reservation_locked: bool = False
    datastores: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    firmware: str = ""
    hardware_version: str = ""
    drs_override: str = ""
    ha_override: str = ""
    annotation: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    vgpus: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def stands_at(self) -> frozenset[str]:
        """Every address at which it can be spoken to, as far as vCenter knows."""
        return frozenset({self.address, *self.addresses} - {""})

    @property
    def is_fully_reserved(self) -> bool:
        """Whether all of its memory is reserved, as a passed-through device demands."""
        return self.is_reservation_locked or self.memory_reservation_mib >= self.memory_mib


class RuleKind(StrEnum):
    """What a rule of the cluster asks of its VMs."""

    APART = "apart"
    TOGETHER = "together"
    ON_HOSTS = "on-hosts"
    OFF_HOSTS = "off-hosts"


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """One rule of VMs among each other, or of VMs and hosts. Only the latter has ``hosts``."""

    name: str
    is_enabled: bool
    is_mandatory: bool
    vms: frozenset[str] = frozenset()
    kind: RuleKind = RuleKind.APART
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that was seen at once."""

    hosts: tuple[HostFacts, ...] = ()
    vms: tuple[VmFacts, ...] = ()
    rules: tuple[RuleFacts, ...] = ()
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    datastores: tuple[DatastoreFacts, ...] = ()
    networks: frozenset[str] = frozenset()
    templates: tuple[TemplateFacts, ...] = ()
    licenses: tuple[LicenseFacts, ...] = ()

    def without(self, vms: Collection[str]) -> Inventory:
        """Return the same without some VMs."""
        return replace(self, vms=tuple(v for v in self.vms if v.name not in vms))

    def host(self, name: str) -> HostFacts | None:
        """Return a host by name."""
        return next((h for h in self.hosts if h.name == name), None)

    def vm(self, name: str) -> VmFacts | None:
        """Return a VM by name."""
        return next((v for v in self.vms if v.name == name), None)

    def rule(self, name: str) -> RuleFacts | None:
        """Return a rule by name."""
        return next((r for r in self.rules if r.name == name), None)

    def rules_of(self, vm: str) -> tuple[RuleFacts, ...]:
        """Return the rules that name a VM."""
        return tuple(r for r in self.rules if vm in r.vms)

    def datastore(self, name: str) -> DatastoreFacts | None:
        """Return a datastore by name."""
        return next((d for d in self.datastores if d.name == name), None)

    def template(self, name: str) -> TemplateFacts | None:
        """Return a template by name."""
        return next((t for t in self.templates if t.name == name), None)
