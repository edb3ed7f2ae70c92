"""Why a VM would stop at power-on: asked of a snapshot, before anybody tries.

vCenter asks, in this order: is the host there and open; does a mandatory rule forbid the host; is
each passthrough device there, active and free; is all memory reserved. A VM that would be refused
is refused here first, with the same cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from permafrost.planning.cluster import AUTOMATED
from permafrost.planning.preflight_report import PreflightCheck, check
from permafrost.planning.snapshot import HostFacts, Inventory, RuleKind, VmFacts
from permafrost.planning.vgpu import missing_profile, rooms_for


@dataclass(frozen=True, slots=True)
class Starting:
    """A VM that is to run: ``gpus`` are addresses on ``host``, ``vgpus`` profiles; MiB."""

    name: str
    host: str
    gpus: tuple[str, ...]
    memory_mib: int
    reserved_mib: int
    vgpus: tuple[str, ...] = ()

    @classmethod
    def of(cls, vm: VmFacts) -> Starting:
        """Return an existing VM as it is configured."""
        reserved = vm.memory_mib if vm.is_reservation_locked else vm.memory_reservation_mib
        return cls(vm.name, vm.host, vm.gpus, vm.memory_mib, reserved, vm.vgpus)


def power_on_checks(vm: Starting, inventory: Inventory) -> Iterator[PreflightCheck]:
    """Yield what vCenter will ask when the VM is powered on where it is bound to stand."""
    host = inventory.host(vm.host)
    if host is None:
        yield check(
            "PREFLIGHT_HOST_MISSING", vm.name, False,
            seen=f"the cluster has no host {vm.host}", needed="a host of the cluster",
            hint="`permafrost deploy` places it anew",
        )  # fmt: skip
        return
    yield from _host(vm, host)
    yield from _rules(vm, inventory)
    for address in vm.gpus:
        yield from _device(vm, host, address, inventory)
    yield from _vgpus(vm, host, inventory)
    yield from _memory(vm, host, inventory)


def _host(vm: Starting, host: HostFacts) -> Iterator[PreflightCheck]:
    yield check(
        "PREFLIGHT_HOST_DOWN",
        vm.name,
        host.connected,
        seen=f"{host.name} is {'connected' if host.connected else 'not connected'}",
        needed="a host that answers vCenter",
        hint="bring the host back, or let `permafrost deploy` place the node elsewhere",
    )
    yield check(
        "PREFLIGHT_HOST_MAINTENANCE",
        vm.name,
        not host.in_maintenance,
        seen=f"{host.name} is {'in maintenance mode' if host.in_maintenance else 'open'}",
        needed="a host out of maintenance mode",
        hint="end the host's maintenance first",
    )


def _rules(vm: Starting, inventory: Inventory) -> Iterator[PreflightCheck]:
    for rule in inventory.rules_of(vm.name):
        if not (rule.is_enabled and rule.is_mandatory):
            continue
        if rule.kind in (RuleKind.ON_HOSTS, RuleKind.OFF_HOSTS) and not _is_placed(vm, inventory):
            is_on_hosts = rule.kind is RuleKind.ON_HOSTS
            listed = ", ".join(sorted(rule.hosts)) or "no host"
            yield check(
                "PREFLIGHT_HOST_RULE_BROKEN",
                vm.name,
                (vm.host in rule.hosts) is is_on_hosts,
                seen=f"to start on {vm.host}",
                needed=f"{'one' if is_on_hosts else 'none'} of {listed}, by the mandatory rule "
                f"{rule.name}",
                hint="change or disable that rule, or its groups",
            )
        if rule.kind is not RuleKind.APART:
            continue
        beside = sorted(
            v.name
            for v in inventory.vms
            if v.name in rule.vms and v.name != vm.name and v.is_on and v.host == vm.host
        )
        there = f"{', '.join(beside)} runs on {vm.host}" if beside else f"alone on {vm.host}"
        yield check(
            "PREFLIGHT_RULE_BROKEN",
            vm.name,
            not beside,
            seen=there,
            needed=f"no other member of the mandatory rule {rule.name} on the host",
            hint="move one of them to a host of its own",
        )


def _is_placed(vm: Starting, inventory: Inventory) -> bool:
    """Whether DRS starts the VM on another host where its own may not have it."""
    return not vm.gpus and inventory.cluster.drs_automation == AUTOMATED


def _device(
    vm: Starting, host: HostFacts, address: str, inventory: Inventory
) -> Iterator[PreflightCheck]:
    gpu = host.gpu(address)
    yield check(
        "PREFLIGHT_DEVICE_MISSING",
        vm.name,
        gpu is not None,
        seen=f"{host.name} has {gpu.name or gpu.vendor_device} at {address}"
        if gpu
        else f"{host.name} has no device at {address}",
        needed="the device that the VM names",
        hint="is the card seated, its slot enabled? `permafrost deploy` can place it elsewhere",
    )
    if gpu is None:
        return
    yield check(
        "PREFLIGHT_PASSTHROUGH_OFF",
        vm.name,
        gpu.is_passthrough,
        seen=f"passthrough of {address} is {'active' if gpu.is_passthrough else 'not active'}",
        needed="passthrough active on the host",
        hint=f"{host.name}: Configure, PCI devices, toggle passthrough; older releases reboot",
    )
    holders = sorted(
        v.name
        for v in inventory.vms
        if v.name != vm.name and v.is_on and v.host == host.name and address in v.gpus
    )
    yield check(
        "PREFLIGHT_DEVICE_TAKEN",
        vm.name,
        not holders,
        seen=f"{address} is {'held by ' + ', '.join(holders) if holders else 'free'}",
        needed="a device that no VM that runs holds",
        hint="power that VM off, or take the device from it",
    )


def _vgpus(vm: Starting, host: HostFacts, inventory: Inventory) -> Iterator[PreflightCheck]:
    for profile in sorted(set(vm.vgpus)):
        missing, count = missing_profile(profile, host), vm.vgpus.count(profile)
        yield check(
            "PREFLIGHT_VGPU_MISSING",
            vm.name,
            not missing,
            seen=f"{host.name} {missing or f'offers vGPU profile {profile}'}",
            needed=f"a host that offers {count} x {profile}",
            hint="install the vGPU software that has it, set the card to Shared Direct, or name a "
            "profile that is offered",
        )
        if missing:
            continue
        room = rooms_for((profile,), host, inventory.vms, {vm.name})[profile]
        yield check(
            "PREFLIGHT_VGPU_TAKEN",
            vm.name,
            room >= count,
            seen=f"{host.name} has room for {room} x {profile}",
            needed=f"{count} x {profile}; a card holds vGPUs of one size at a time",
            hint="power off or move a VM that uses the card, or let the node start elsewhere",
        )


def _memory(vm: Starting, host: HostFacts, inventory: Inventory) -> Iterator[PreflightCheck]:
    if vm.gpus or vm.vgpus:
        yield check(
            "PREFLIGHT_MEMORY_NOT_RESERVED",
            vm.name,
            vm.reserved_mib >= vm.memory_mib,
            seen=f"{vm.reserved_mib} of {vm.memory_mib} MiB are reserved",
            needed="all memory reserved: the device may write to any page",
            hint="`permafrost deploy` reserves it; lock the reservation to the VM's size",
        )
    if host.memory_mib:
        taken = sum(
            v.memory_mib if v.is_reservation_locked else v.memory_reservation_mib
            for v in inventory.vms
            if v.host == host.name and v.is_on and v.name != vm.name
        )
        left = host.memory_mib - taken
        yield check(
            "PREFLIGHT_MEMORY_TOO_LITTLE",
            vm.name,
            vm.reserved_mib <= left,
            seen=f"{host.name} has {left} of {host.memory_mib} MiB not reserved by VMs that run",
            needed=f"{vm.reserved_mib} MiB to reserve",
            hint="a smaller vm.memory_mib, or a host with more memory",
        )
