"""One VM of the site: what edges and replicas have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_vsphere as vsphere

from infra.components.seed import KEYS as SEED_KEYS
from permafrost.adapters.pulumi_stack.ownership import annotation
from permafrost.topology import data_disk_gib, datastore_of, port_group_of, vm_shape

if TYPE_CHECKING:
    from infra.components.foundation import Foundation
    from infra.components.hooks import SiteHooks
    from infra.components.ownership import Ownership
    from permafrost.planning.placement import Slot
    from permafrost.site.model import Site
    from permafrost.topology import Node

SHUTDOWN_WAIT_MINUTES = 3
GUEST_NET_WAIT_MINUTES = 5
DATA_DISK = "data"
MARKS = ("tags", "customAttributes")


class NodeVm(pulumi.ComponentResource):
    """The VM of one node; named as the node everywhere.

    - It is replaced delete-first: a GPU has one owner, an address too.
    - Another template replaces the VM (after its drain). ``guestinfo`` is read at the first boot
      only and a change of it would power-cycle the VM: it is set once and ignored after.
    - A VM without a device may be moved by vCenter: its host is where it starts, not a pin.
    - Tags and custom attributes are given when a VM is made, and left alone after: those of
      others (backup, monitoring) hang there too, and an update would take them off. On a VM that
      lacks ours ``permafrost deploy`` puts them, without an update of the VM.
    - One that holds data is protected: neither a new template nor a site file without it may take
      its disks away. Only a teardown of the whole site lifts that.
    """

    holds_data = False

    def __init__(
        self,
        site: Site,
        node: Node,
        slot: Slot,
        *,
        seed: Mapping[str, str],
        foundation: Foundation,
        ownership: Ownership,
        hooks: SiteHooks,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__(f"permafrost:infra:{type(self).__name__}", node.name)
        self.node = node
        arguments = self.arguments(site, node, slot)
        self.fingerprint = fingerprint({**arguments, "slot": asdict(slot)})
        disk_gib = max(vm_shape(site, node).disk_gib, foundation.template_disk_gib)
        ignored = [f'extraConfig["{key}"]' for key in SEED_KEYS]
        ignored += MARKS
        if not slot.gpus:
            ignored.append("hostSystemId")
        self.vm = vsphere.VirtualMachine(
            node.name,
            **{**arguments, "extra_config": {**arguments["extra_config"], **seed}},
            host_system_id=slot.host_moid,
            resource_pool_id=foundation.pool.id,
            datastore_id=foundation.datastore_ids[datastore_of(site, node)],
            folder=foundation.folder.path,
            guest_id=foundation.template_guest_id,
            network_interfaces=[
                vsphere.VirtualMachineNetworkInterfaceArgs(
                    network_id=foundation.network_ids[port_group_of(site, node)],
                    adapter_type="vmxnet3",
                )
            ],
            disks=[
                vsphere.VirtualMachineDiskArgs(
                    label="disk0", size=disk_gib, unit_number=0, thin_provisioned=True
                ),
                *_data_disks(site, node),
            ],
            tags=ownership.tags(node),
            custom_attributes=ownership.attributes(node),
            clone=vsphere.VirtualMachineCloneArgs(template_uuid=foundation.template_uuid),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(depends_on),
                ignore_changes=ignored,
                delete_before_replace=True,
                protect=True if self.holds_data and not hooks.is_teardown else None,
                hooks=hooks.of_vm(node),
            ),
        )
        hooks.watch(self.vm)
        self.address = self.vm.default_ip_address
        self.register_outputs({"address": self.address, "uuid": self.vm.uuid})

    @staticmethod
    def arguments(site: Site, node: Node, slot: Slot) -> dict[str, Any]:
        """Return what the site file and the placement alone say about this VM."""
        raise NotImplementedError


def _data_disks(site: Site, node: Node) -> list[vsphere.VirtualMachineDiskArgs]:
    """Return the disks behind the system's: one where the node holds data."""
    size = data_disk_gib(site, node)
    if not size:
        return []
    return [
        vsphere.VirtualMachineDiskArgs(
            label=DATA_DISK, size=size, unit_number=1, thin_provisioned=True
        )
    ]


def base_arguments(site: Site, node: Node) -> dict[str, Any]:
    """Return what the site file says about the VM of any node."""
    shape = vm_shape(site, node)
    return {
        "name": node.name,
        "annotation": annotation(site, node),
        "num_cpus": shape.cpus,
        "memory": shape.memory_mib,
        "firmware": "efi",
        "extra_config": {},
        "force_power_off": False,
        "shutdown_wait_timeout": SHUTDOWN_WAIT_MINUTES,
        "wait_for_guest_net_timeout": GUEST_NET_WAIT_MINUTES,
        "wait_for_guest_net_routable": True,
        "wait_for_guest_ip_timeout": 0,
    }


def fingerprint(values: Mapping[str, Any]) -> str:
    """Return a digest that changes with any of these values."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
