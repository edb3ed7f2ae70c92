"""What a VM that is bound to its host has of its own: DRS advises it no move, HA tries none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_vsphere as vsphere

if TYPE_CHECKING:
    from infra.components.foundation import Foundation
    from infra.components.hooks import SiteHooks
    from infra.components.node_vm import NodeVm
    from permafrost.planning.ownership import Override


class Overrides(pulumi.ComponentResource):
    """The overrides of one VM. They name it by its id: they go before it and come after it."""

    def __init__(
        self, machine: NodeVm, wanted: Override, *, foundation: Foundation, hooks: SiteHooks
    ) -> None:
        name = machine.node.name
        super().__init__(
            "permafrost:infra:Overrides", name, None, pulumi.ResourceOptions(parent=machine)
        )
        options = pulumi.ResourceOptions(
            parent=self, delete_before_replace=True, hooks=hooks.guarded
        )
        drs = vsphere.DrsVmOverride(
            name,
            compute_cluster_id=foundation.cluster_id,
            virtual_machine_id=machine.vm.id,
            drs_enabled=True,
            drs_automation_level=wanted.drs,
            opts=options,
        )
        ha = vsphere.HaVmOverride(
            name,
            compute_cluster_id=foundation.cluster_id,
            virtual_machine_id=machine.vm.id,
            ha_vm_restart_priority=wanted.ha,
            opts=options,
        )
        hooks.watch(drs)
        hooks.watch(ha)
        self.register_outputs({})
