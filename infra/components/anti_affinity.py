"""The rule that keeps an endpoint's replicas on hosts of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi
import pulumi_vsphere as vsphere

from permafrost.topology import rule_name

if TYPE_CHECKING:
    from infra.components.foundation import Foundation
    from infra.components.hooks import SiteHooks
    from infra.components.node_vm import NodeVm
    from permafrost.site.model import Site


class AntiAffinity(pulumi.ComponentResource):
    """``keep-apart-<site>-<endpoint>``: mandatory, so that HA and DRS obey it too."""

    def __init__(
        self,
        site: Site,
        endpoint: str,
        members: Sequence[NodeVm],
        *,
        foundation: Foundation,
        hooks: SiteHooks,
    ) -> None:
        name = rule_name(site, endpoint)
        super().__init__("permafrost:infra:AntiAffinity", name)
        if len(members) > 1:
            rule = vsphere.ComputeClusterVmAntiAffinityRule(
                name,
                name=name,
                compute_cluster_id=foundation.cluster_id,
                virtual_machine_ids=[member.vm.id for member in members],
                enabled=True,
                mandatory=True,
                opts=pulumi.ResourceOptions(
                    parent=self, delete_before_replace=True, hooks=hooks.guarded
                ),
            )
            hooks.watch(rule)
        self.register_outputs({})
