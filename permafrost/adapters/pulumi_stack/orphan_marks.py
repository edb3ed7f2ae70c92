"""Orphans of the cluster and of vCenter's books: rules, groups, tags, custom attributes.

Overrides of VMs are no orphans: who makes one anew replaces what is there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from permafrost.adapters.pulumi_stack.removal import remove
from permafrost.adapters.vsphere.tagging import Tagging
from permafrost.adapters.vsphere.tasks import named
from permafrost.planning.ownership import category_name

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.checkpoint import Pending
    from permafrost.adapters.vsphere import VcenterSession
    from permafrost.site.load import LoadedSite

ATTRIBUTE = "vsphere:index/customAttribute:CustomAttribute"
CATEGORY = "vsphere:index/tagCategory:TagCategory"
TAG = "vsphere:index/tag:Tag"
GROUPS = (
    "vsphere:index/computeClusterHostGroup:ComputeClusterHostGroup",
    "vsphere:index/computeClusterVmGroup:ComputeClusterVmGroup",
)


def remove_mark(session: VcenterSession, loaded: LoadedSite, entry: Pending) -> None:
    """Remove what the interrupted creation of a group, tag or attribute left behind."""
    site = loaded.site
    if entry.type in GROUPS:
        _remove_group(session, site.vcenter.cluster, entry.name)
    elif entry.type == ATTRIBUTE:
        remove(session, entry.name, partial(_remove_attribute, entry.name))
    elif entry.type == CATEGORY:
        Tagging(session).remove(category_name(site))
    elif entry.type == TAG:
        category = category_name(site)
        Tagging(session).remove(category, entry.name.removeprefix(f"{category}-"))


def _remove_attribute(name: str, content: Any) -> None:
    manager = content.customFieldsManager
    for field in manager.field:
        if field.name == name:
            manager.RemoveCustomFieldDef(field.key)


def remove_rule(session: VcenterSession, cluster: str, name: str) -> None:
    """Remove the cluster's rules of a name."""

    def ask(content: Any) -> Any:
        found = _cluster(content, cluster)
        keys = [rule.key for rule in found.configurationEx.rule or [] if rule.name == name]
        if not keys:
            return None
        make: Any = vim.cluster
        change = make.ConfigSpecEx(
            rulesSpec=[make.RuleSpec(operation="remove", removeKey=key) for key in keys]
        )
        return found.ReconfigureComputeResource_Task(change, True)

    remove(session, name, ask)


def _remove_group(session: VcenterSession, cluster: str, name: str) -> None:
    def ask(content: Any) -> Any:
        found = _cluster(content, cluster)
        if name not in {str(group.name) for group in found.configurationEx.group or []}:
            return None
        make: Any = vim.cluster
        change = make.ConfigSpecEx(groupSpec=[make.GroupSpec(operation="remove", removeKey=name)])
        return found.ReconfigureComputeResource_Task(change, True)

    remove(session, name, ask)


def _cluster(content: Any, name: str) -> Any:
    return next(found for found, _ in named(content, vim.ClusterComputeResource, {name}))
