"""Groups and rules that keep VMs in their rack or room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pulumi
import pulumi_vsphere as vsphere

if TYPE_CHECKING:
    from infra.components.foundation import Foundation
    from infra.components.hooks import SiteHooks
    from infra.components.node_vm import NodeVm
    from permafrost.planning.domains import DomainRule


class DomainRules(pulumi.ComponentResource):
    """``keep-in-<site>-<domain>``: mandatory, so that HA obeys it too; of edges a preference."""

    def __init__(
        self,
        site_name: str,
        rules: Sequence[DomainRule],
        vms: Mapping[str, NodeVm],
        host_ids: Mapping[str, str],
        *,
        foundation: Foundation,
        hooks: SiteHooks,
    ) -> None:
        super().__init__("permafrost:infra:DomainRules", site_name)
        options = pulumi.ResourceOptions(
            parent=self, delete_before_replace=True, hooks=hooks.guarded
        )
        groups = {
            rule.host_group: vsphere.ComputeClusterHostGroup(
                rule.host_group,
                name=rule.host_group,
                compute_cluster_id=foundation.cluster_id,
                host_system_ids=[host_ids[host] for host in rule.hosts],
                opts=options,
            )
            for rule in {rule.host_group: rule for rule in rules}.values()
        }
        for hosts in groups.values():
            hooks.watch(hosts)
        for rule in rules:
            members = vsphere.ComputeClusterVmGroup(
                rule.vm_group,
                name=rule.vm_group,
                compute_cluster_id=foundation.cluster_id,
                virtual_machine_ids=[vms[node].vm.id for node in rule.nodes],
                opts=options,
            )
            made = vsphere.ComputeClusterVmHostRule(
                rule.name,
                name=rule.name,
                compute_cluster_id=foundation.cluster_id,
                affinity_host_group_name=groups[rule.host_group].name,
                vm_group_name=members.name,
                enabled=True,
                mandatory=rule.is_mandatory,
                opts=options,
            )
            for resource in (members, made):
                hooks.watch(resource)
        self.register_outputs({})
