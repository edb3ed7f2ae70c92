"""What vCenter shows, as values: hosts with their GPUs, VMs and rules at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One accelerator of a host. ``used_by`` is the VM that owns it, empty when free."""

    address: str
    vendor_device: str
    used_by: str = ""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One ESXi host: it is also one failure domain."""

    name: str
    moid: str
    connected: bool
    in_maintenance: bool
    gpus: tuple[GpuFacts, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether something new may be placed here."""
        return self.connected and not self.in_maintenance


@dataclass(frozen=True, slots=True)
class VmFacts:
    """One VM as it really is."""

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


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """One anti-affinity rule."""

    name: str
    is_enabled: bool
    is_mandatory: bool
    vms: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that was seen at once."""

    hosts: tuple[HostFacts, ...] = ()
    vms: tuple[VmFacts, ...] = ()
    rules: tuple[RuleFacts, ...] = ()

    def host(self, name: str) -> HostFacts | None:
        """Return a host by name."""
        return next((h for h in self.hosts if h.name == name), None)

    def vm(self, name: str) -> VmFacts | None:
        """Return a VM by name."""
        return next((v for v in self.vms if v.name == name), None)
