"""Orphans of the cluster and of vCenter's books: rules, groups, tags, custom attributes.

Overrides of VMs are no orphans: who makes one anew replaces what is there.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from permafrost.adapters.vsphere.tagging import Tagging
from permafrost.engine.waiting import SystemClock, wait_until
from permafrost.errors import Failed, Problem
from permafrost.planning.ownership import category_name

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.checkpoint import Pending
    from permafrost.adapters.vsphere import VcenterSession
    from permafrost.site.load import LoadedSite

log = logging.getLogger(__name__)

TASK_DEADLINE_S = 300.0
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
        session.call(partial(_remove_attribute, entry.name))
    elif entry.type == CATEGORY:
        Tagging(session).remove(category_name(site))
    elif entry.type == TAG:
        category = category_name(site)
        Tagging(session).remove(category, entry.name.removeprefix(f"{category}-"))


def _remove_attribute(name: str, content: Any) -> None:
    manager = content.customFieldsManager
    for field in manager.field:
        if field.name == name:
            log.warning("removing attribute %s, which an interrupted run left in vCenter", name)
            manager.RemoveCustomFieldDef(field.key)


def remove_rule(session: VcenterSession, cluster: str, name: str) -> None:
    """Remove the cluster's rules of a name."""

    def remove(content: Any) -> Any:
        found = _cluster(content, cluster)
        keys = [rule.key for rule in found.configurationEx.rule or [] if rule.name == name]
        if not keys:
            return None
        make: Any = vim.cluster
        change = make.ConfigSpecEx(
            rulesSpec=[make.RuleSpec(operation="remove", removeKey=key) for key in keys]
        )
        return found.ReconfigureComputeResource_Task(change, True)

    task = session.call(remove)
    if task is not None:
        log.warning("removing rule %s, which an interrupted run left in vCenter", name)
        finish(session, name, task)


def _remove_group(session: VcenterSession, cluster: str, name: str) -> None:
    def remove(content: Any) -> Any:
        found = _cluster(content, cluster)
        if name not in {str(group.name) for group in found.configurationEx.group or []}:
            return None
        make: Any = vim.cluster
        change = make.ConfigSpecEx(groupSpec=[make.GroupSpec(operation="remove", removeKey=name)])
        return found.ReconfigureComputeResource_Task(change, True)

    task = session.call(remove)
    if task is not None:
        log.warning("removing group %s, which an interrupted run left in vCenter", name)
        finish(session, name, task)


def _cluster(content: Any, name: str) -> Any:
    view = content.viewManager.CreateContainerView(
        content.rootFolder, [vim.ClusterComputeResource], True
    )
    try:
        return next(c for c in view.view if c.name == name)
    finally:
        view.DestroyView()


def finish(session: VcenterSession, name: str, task: Any) -> None:
    """Wait for a removal; raise Failed when vCenter does not make it."""

    def has_ended() -> bool:
        return session.call(lambda _: str(task.info.state)) in ("success", "error")

    ended = wait_until(has_ended, clock=SystemClock(), deadline_s=TASK_DEADLINE_S, every_s=0.5)
    if not ended or session.call(lambda _: str(task.info.state)) == "error":
        raise Failed(
            Problem(
                "ORPHAN_NOT_REMOVED",
                "an interrupted run left it in vCenter, and vCenter does not remove it",
                path=name,
                hint="remove it by hand, then run the command again",
            )
        )
