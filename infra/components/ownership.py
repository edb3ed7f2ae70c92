"""The tags and custom attributes by which the site's VMs are known as its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_vsphere as vsphere

from permafrost.planning.ownership import (
    attributes_of,
    category_name,
    managed_by_name,
    role_name,
    tag_name,
)
from permafrost.topology import groups

if TYPE_CHECKING:
    from infra.components.hooks import SiteHooks
    from permafrost.site.model import Site
    from permafrost.topology import Node

MACHINE = "VirtualMachine"


class Ownership(pulumi.ComponentResource):
    """The site's category with a tag for each group of nodes, and the attributes' names."""

    def __init__(self, site: Site, *, hooks: SiteHooks) -> None:
        super().__init__("permafrost:infra:Ownership", site.site)
        self._site = site
        options = pulumi.ResourceOptions(
            parent=self, delete_before_replace=True, hooks=hooks.guarded
        )
        category = vsphere.TagCategory(
            category_name(site),
            name=category_name(site),
            description=f"VMs of the site {site.site}, managed by Permafrost: what each is for",
            cardinality="SINGLE",
            associable_types=[MACHINE],
            # After a refresh the provider reads the types in other words than it was given.
            opts=pulumi.ResourceOptions.merge(
                options, pulumi.ResourceOptions(ignore_changes=["associableTypes"])
            ),
        )
        hooks.watch(category)
        self._tags = {
            group.name: vsphere.Tag(
                f"{category_name(site)}-{group.name}",
                name=group.name,
                category_id=category.id,
                description=f"{group.name} of the site {site.site}",
                opts=options,
            )
            for group in groups(site)
        }
        self._attributes = {
            name: vsphere.CustomAttribute(
                name, name=name, managed_object_type=MACHINE, opts=options
            )
            for name in (managed_by_name(site), role_name(site))
        }
        for resource in (*self._tags.values(), *self._attributes.values()):
            hooks.watch(resource)
        self.register_outputs({})

    def tags(self, node: Node) -> list[pulumi.Output[str]]:
        """Return the ids of a node's tags."""
        return [self._tags[tag_name(self._site, node)].id]

    def attributes(self, node: Node) -> pulumi.Output[dict[str, str]]:
        """Return a node's custom attributes, by the ids that vCenter gives them."""
        values = attributes_of(self._site, node)
        ids = {name: self._attributes[name].id for name in values}

        def by_id(known: dict[str, str]) -> dict[str, str]:
            return {known[name]: value for name, value in values.items()}

        return pulumi.Output.all(**ids).apply(by_id)
