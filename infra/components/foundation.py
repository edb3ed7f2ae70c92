"""What every VM of a site stands on: looked up in vCenter, and the site's own folder and pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_vsphere as vsphere

from permafrost.topology import datastore_of, nodes, port_group_of

if TYPE_CHECKING:
    from infra.components.hooks import SiteHooks
    from permafrost.site.model import Site


class Foundation(pulumi.ComponentResource):
    """Folder and resource pool of the site, and the ids that its VMs name."""

    def __init__(self, site: Site, *, hooks: SiteHooks) -> None:
        super().__init__("permafrost:infra:Foundation", site.site)
        vcenter = site.vcenter
        datacenter = vsphere.get_datacenter(name=vcenter.datacenter)
        cluster = vsphere.get_compute_cluster(name=vcenter.cluster, datacenter_id=datacenter.id)
        members = nodes(site)
        self.datastore_ids: dict[str, str] = {
            name: vsphere.get_datastore(name=name, datacenter_id=datacenter.id).id
            for name in sorted({datastore_of(site, node) for node in members})
        }
        self.network_ids: dict[str, str] = {
            name: vsphere.get_network(name=name, datacenter_id=datacenter.id).id
            for name in sorted({port_group_of(site, node) for node in members})
        }
        template = vsphere.get_virtual_machine(name=vcenter.template, datacenter_id=datacenter.id)
        self.cluster_id: str = cluster.id
        self.template_uuid: str = template.id
        self.template_guest_id: str = template.guest_id
        self.template_disk_gib = max((disk.size for disk in template.disks), default=1)
        options = pulumi.ResourceOptions(
            parent=self, delete_before_replace=True, hooks=hooks.guarded
        )
        self.folder = vsphere.Folder(
            vcenter.folder,
            path=vcenter.folder,
            type="vm",
            datacenter_id=datacenter.id,
            opts=options,
        )
        self.pool = vsphere.ResourcePool(
            vcenter.resource_pool,
            name=vcenter.resource_pool,
            parent_resource_pool_id=cluster.resource_pool_id,
            # Left out, the provider finds a difference at every preview.
            scale_descendants_shares="disabled",
            opts=options,
        )
        hooks.watch(self.folder)
        hooks.watch(self.pool)
        self.register_outputs({"folder": self.folder.path, "pool": self.pool.id})
