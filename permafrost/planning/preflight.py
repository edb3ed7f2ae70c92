"""Everything that can be known before the first VM is touched, explained.

A deployment is refused by problems; ``permafrost preflight`` shows every check, also the ones that
are well. Pure: the same site, snapshot and placement give the same report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from permafrost.errors import Problem
from permafrost.facts import CheckpointFacts
from permafrost.planning.demand import wanted_vgpus
from permafrost.planning.placement import Placement
from permafrost.planning.preflight_cluster import cluster_checks
from permafrost.planning.preflight_knowledge import knowledge_checks, object_store_checks
from permafrost.planning.preflight_model import model_checks
from permafrost.planning.preflight_power import Starting, power_on_checks
from permafrost.planning.preflight_report import PreflightCheck, PreflightReport, check, report
from permafrost.planning.preflight_vm import program_checks
from permafrost.planning.snapshot import Inventory
from permafrost.ports import Change
from permafrost.site.model import GpuMode, Site
from permafrost.topology import Node, data_disk_gib, nodes, vm_shape

VM_TYPE = "vsphere:index/virtualMachine:VirtualMachine"


def plan_preflight(
    site: Site,
    inventory: Inventory,
    placement: Placement,
    *,
    checkpoints: Mapping[str, CheckpointFacts],
    changes: Iterable[Change] = (),
    starting: Iterable[str] | None = None,
    object_store: Iterable[Problem] = (),
) -> PreflightReport:
    """Return every check of a site.

    ``checkpoints`` are by endpoint, as the registry shows them; ``changes`` what Pulumi would do;
    ``starting`` the nodes that are to be powered on (None: all, as if every VM were);
    ``object_store`` what speaks against an external one.
    """
    wanted = {n.name for n in nodes(site)} if starting is None else set(starting)
    changes = [c for c in changes if c.type == VM_TYPE]
    coming = {c.name: c.new for c in changes if c.new and _gives_memory(c)}
    return report(
        cluster_checks(site, inventory),
        model_checks(site, checkpoints),
        knowledge_checks(site),
        object_store_checks(site, object_store),
        program_checks(changes),
        _space(site, inventory),
        _addresses(site, inventory),
        *(
            power_on_checks(
                starting_of(site, node, placement, inventory, coming.get(node.name)), inventory
            )
            for node in nodes(site)
            if node.name in wanted and node.name in placement
        ),
    )


def _gives_memory(change: Change) -> bool:
    """Whether a change itself says what the VM has reserved afterwards."""
    return "replace" in change.operation or "memoryReservation" in change.properties


def starting_of(
    site: Site,
    node: Node,
    placement: Placement,
    inventory: Inventory,
    coming: Mapping[str, Any] | None = None,
) -> Starting:
    """Return a node's VM as it will be powered on: as placed, or where vCenter moved it.

    ``coming``: the VM's settings where a change gives it memory before that.
    """
    slot, shape, vm = placement[node.name], vm_shape(site, node), inventory.vm(node.name)
    host = vm.host if vm is not None and not slot.gpus else slot.host
    is_reserved = _is_reserved(site, node)
    memory_mib, reserved_mib = shape.memory_mib, shape.memory_mib if is_reserved else 0
    if vm is not None and is_reserved:
        if coming:
            memory_mib = int(coming.get("memory", 0))
            reserved_mib = int(coming.get("memoryReservation", 0))
        else:
            # What it has, not what it was given: a reservation can get lost.
            memory_mib = vm.memory_mib
            reserved_mib = memory_mib if vm.is_reservation_locked else vm.memory_reservation_mib
    vgpus = wanted_vgpus(site, node)
    return Starting(node.name, host, slot.gpus, memory_mib, reserved_mib, vgpus)


def _space(site: Site, inventory: Inventory) -> Iterator[PreflightCheck]:
    name = site.vcenter.datastore
    datastore = inventory.datastore(name)
    yield check(
        "PREFLIGHT_DATASTORE_MISSING",
        "vcenter.datastore",
        datastore is not None and datastore.is_accessible,
        seen=f"{name} is {'accessible' if datastore else 'not there'}"
        if datastore is None or datastore.is_accessible
        else f"{name} is not accessible",
        needed="an accessible datastore of the datacenter",
        hint="name one that every host of the cluster mounts",
    )
    if datastore is None:
        return
    unmounted = sorted(h.name for h in inventory.hosts if h.name not in datastore.hosts)
    yield check(
        "PREFLIGHT_DATASTORE_NOT_MOUNTED",
        "vcenter.datastore",
        not unmounted,
        seen=f"{name} is not mounted by {', '.join(unmounted)}" if unmounted else "all mount it",
        needed="mounted by every host of the cluster",
        hint="mount it there, or a VM cannot start on that host",
    )
    new = [n for n in nodes(site) if inventory.vm(n.name) is None]
    need = sum(_disk_gib(site, n, inventory) for n in new)
    yield check(
        "PREFLIGHT_DATASTORE_TOO_SMALL",
        "vcenter.datastore",
        need <= datastore.free_gib,
        seen=f"{name} has {datastore.free_gib} of {datastore.capacity_gib} GiB free",
        needed=f"{need} GiB for the disks of {len(new)} new VMs",
        hint="free space, or ask for smaller disks",
    )


def _disk_gib(site: Site, node: Node, inventory: Inventory) -> int:
    template = inventory.template(site.vcenter.template)
    shape = vm_shape(site, node)
    swap_gib = 0 if _is_reserved(site, node) else -(-shape.memory_mib // 1024)
    system_gib = max(shape.disk_gib, template.disk_gib if template else 0)
    return system_gib + data_disk_gib(site, node) + swap_gib


def _is_reserved(site: Site, node: Node) -> bool:
    return bool(node.endpoint) and site.inference[node.endpoint].gpu.mode is not GpuMode.NONE


def _addresses(site: Site, inventory: Inventory) -> Iterator[PreflightCheck]:
    ours = {str(n.address): n.name for n in nodes(site)}
    strangers = sorted(
        (ours[address], vm.name, address)
        for vm in inventory.vms
        if vm.name not in set(ours.values())
        for address in vm.stands_at & ours.keys()
    )
    for node, stranger, address in strangers:
        yield check(
            "PREFLIGHT_ADDRESS_TAKEN", node, False,
            seen=f"{stranger} has {address}", needed="an address of its own",
            hint="give the site other addresses, or that VM",
        )  # fmt: skip
    if not strangers:
        yield check(
            "PREFLIGHT_ADDRESS_TAKEN", "network.addresses", True,
            seen="no other VM reports one of the site's addresses",
            needed="addresses of their own", hint="",
        )  # fmt: skip
