"""What groups of nodes ask for, and what hosts have for them: the terms of the search.

A *demand* is a group's: ``count`` hosts of its own, on each ``units`` devices of one kind, memory
and virtual CPUs. A *room* is a host's: devices that are free or ours, memory and CPUs that are
left when the VMs of others have what they reserved, the failure domain that it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from permafrost.planning.snapshot import GpuFacts, HostFacts, VmFacts
from permafrost.planning.vgpu import rooms_for
from permafrost.site.check_domains import label_of
from permafrost.site.model import FailureDomainLevel, GpuMode, Site
from permafrost.topology import Group, Node, Tier

VGPU = "vgpu:"
"""Before a profile's name where a PCI id would stand: the kind of a vGPU."""

UNLIMITED = 1 << 50


@dataclass(frozen=True, slots=True)
class Demand:
    """``count`` distinct hosts of ``allowed``, at most ``per_domain`` in one failure domain.

    ``kept`` are hosts where members stand by the record. ``memory_mib`` and ``cpus`` are one
    member's.
    """

    name: str
    count: int
    kind: str
    units: int
    allowed: frozenset[str]
    kept: frozenset[str]
    memory_mib: int = 0
    cpus: int = 0
    per_domain: int = 1


@dataclass(frozen=True, slots=True)
class Room:
    """What one host has left. ``cpus`` are virtual ones, overcommitment included."""

    domain: str
    devices: Mapping[str, int]
    memory_mib: int = UNLIMITED
    cpus: int = UNLIMITED


Rooms = Mapping[str, Room]
Chosen = dict[str, tuple[str, ...]]
"""Group to the hosts that it gets, sorted."""


def wanted_devices(site: Site, group: Group) -> tuple[str, int]:
    """Return kind and number of the devices of each member; the kind is empty when none."""
    if group.tier is not Tier.INFERENCE:
        return "", 0
    gpu = site.inference[group.name].gpu
    match gpu.mode:
        case GpuMode.PASSTHROUGH:
            return gpu.vendor_device or "", gpu.count
        case GpuMode.VGPU:
            return f"{VGPU}{gpu.profile}", gpu.count
    return "", 0


def is_ours(gpu: GpuFacts, own: set[str]) -> bool:
    """Whether nobody holds a device but perhaps a node of the site."""
    return not gpu.used_by or gpu.used_by in own


def wanted_profiles(site: Site) -> tuple[str, ...]:
    """Return the vGPU profiles that a site asks for."""
    gpus = (endpoint.gpu for endpoint in site.inference.values())
    return tuple(sorted({g.profile for g in gpus if g.mode is GpuMode.VGPU and g.profile}))


def wanted_vgpus(site: Site, node: Node) -> tuple[str, ...]:
    """Return the profile of each vGPU that a node's VM is to have."""
    if not node.endpoint:
        return ()
    gpu = site.inference[node.endpoint].gpu
    return (gpu.profile,) * gpu.count if gpu.mode is GpuMode.VGPU and gpu.profile else ()


def devices_for(host: HostFacts, own: set[str]) -> dict[str, list[str]]:
    """Return the addresses that a host has for the site, to be passed through, by kind.

    A card that the host shares out as vGPUs is none, until somebody sets it to passthrough.
    """
    shared = {card.address for card in host.cards if card.is_shared}
    kinds: dict[str, list[str]] = {}
    for gpu in sorted(host.gpus, key=lambda g: g.address):
        if is_ours(gpu, own) and gpu.address not in shared:
            kinds.setdefault(gpu.vendor_device, []).append(gpu.address)
    return kinds


def domain_of(site: Site, host: str) -> str | None:
    """Return the failure domain of a host: its own name, or what its label says."""
    level = site.failure_domains.level
    if level is FailureDomainLevel.HOST:
        return host
    labels = site.hosts.get(host)
    return label_of(labels, level) if labels is not None else None


def rooms_of(
    site: Site, hosts: Iterable[HostFacts], vms: Iterable[VmFacts], own: set[str]
) -> dict[str, Room]:
    """Return the room of each host whose failure domain is known.

    vCenter admits a VM when its reservation is unreserved on the host: what others have reserved
    is taken from the memory. Virtual CPUs of others are shares, not claims, and are not counted.
    """
    reserved: dict[str, int] = {}
    profiles, vms = wanted_profiles(site), tuple(vms)
    for vm in vms:
        if vm.name not in own and vm.is_on:
            reserved[vm.host] = reserved.get(vm.host, 0) + vm.memory_reservation_mib
    limits = site.capacity
    found: dict[str, Room] = {}
    for turn, host in enumerate(sorted(hosts, key=lambda h: h.name)):
        domain = domain_of(site, host.name)
        if domain is None:
            continue
        memory = UNLIMITED
        if host.memory_mib:
            memory = host.memory_mib - limits.host_memory_reserve_mib - reserved.get(host.name, 0)
        cpus = int(host.cpus * limits.cpu_overcommit) if host.cpus else UNLIMITED
        devices = {kind: len(some) for kind, some in devices_for(host, own).items()}
        if profiles:
            vgpus = rooms_for(profiles, host, vms, own, turn)
            devices |= {f"{VGPU}{profile}": count for profile, count in vgpus.items()}
        found[host.name] = Room(domain, devices, memory, cpus)
    return found
