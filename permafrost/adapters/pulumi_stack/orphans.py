"""Objects that an interrupted run had asked vCenter for, and that Pulumi's state never learnt of.

They never served anybody: they are removed, and the next ``up`` makes them anew. A VM must carry
our annotation; a folder or pool must be empty; otherwise it is somebody's, and it stays.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from permafrost.adapters.pulumi_stack.checkpoint import VM_TYPE
from permafrost.adapters.pulumi_stack.orphan_marks import finish, remove_mark, remove_rule
from permafrost.adapters.pulumi_stack.ownership import OWNED, ownership_prefix
from permafrost.adapters.vsphere import VcenterSession

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.checkpoint import Pending
    from permafrost.site.load import LoadedSite

log = logging.getLogger(__name__)

CREATING = "creating"
TASK_DEADLINE_S = 300.0
KINDS = {
    VM_TYPE: vim.VirtualMachine,
    "vsphere:index/folder:Folder": vim.Folder,
    "vsphere:index/resourcePool:ResourcePool": vim.ResourcePool,
    "vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule": (
        vim.ClusterComputeResource
    ),
    "vsphere:index/computeClusterVmHostRule:ComputeClusterVmHostRule": vim.ClusterComputeResource,
}


def remove_orphans(loaded: LoadedSite, pending: Iterable[Pending]) -> None:
    """Remove what these creations left in vCenter."""
    session = VcenterSession(loaded)
    try:
        for entry in pending:
            kind = KINDS.get(entry.type)
            if entry.operation == CREATING and kind is not None:
                _remove(session, loaded, kind, entry.name)
            elif entry.operation == CREATING:
                remove_mark(session, loaded, entry)
    finally:
        session.close()


def remove_half_made(loaded: LoadedSite, names: Iterable[str]) -> None:
    """Remove clones of these names that were never finished and that Pulumi does not know.

    A provider clones first and names its owner afterwards; one that was killed between the two
    leaves a VM without our annotation, and whose name the next one cannot have. Such a VM is
    off, stands in the site's own folder, has no device passed through, and bears nobody's mark.
    """
    wanted = frozenset(names)
    if not wanted:
        return
    session = VcenterSession(loaded)
    try:
        folder = loaded.site.vcenter.folder.rpartition("/")[2]
        for vm, name in session.call(partial(_half_made, wanted, folder)):
            log.warning("removing %s, which an interrupted run left half made", name)
            finish(session, name, session.call(partial(_destroy, vm)))
    finally:
        session.close()


def half_made(loaded: LoadedSite, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of such clones; nothing is touched."""
    wanted = frozenset(names)
    if not wanted:
        return ()
    session = VcenterSession(loaded)
    folder = loaded.site.vcenter.folder.rpartition("/")[2]
    try:
        return tuple(name for _, name in session.call(partial(_half_made, wanted, folder)))
    finally:
        session.close()


def _half_made(wanted: frozenset[str], folder: str, content: Any) -> list[tuple[Any, str]]:
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    try:
        named = [(vm, str(vm.name)) for vm in view.view if vm.name in wanted]
    finally:
        view.DestroyView()
    return [(vm, name) for vm, name in named if _is_half_made(vm, folder)]


def _is_half_made(vm: Any, folder: str) -> bool:
    config = vm.config
    return (
        str(vm.runtime.powerState) == "poweredOff"
        and str(vm.parent.name) == folder
        and not str(config.annotation or "").startswith(OWNED)
        and not any(
            isinstance(device, vim.vm.device.VirtualPCIPassthrough)
            for device in config.hardware.device
        )
    )


def _remove(session: VcenterSession, loaded: LoadedSite, kind: Any, name: str) -> None:
    if kind is vim.ClusterComputeResource:
        remove_rule(session, loaded.site.vcenter.cluster, name)
        return
    prefix = ownership_prefix(loaded.site, name)
    found = session.call(lambda content: _orphans(content, kind, name, prefix))
    for thing in found:
        log.warning("removing %s, which an interrupted run left in vCenter", name)
        task = session.call(partial(_power_off, thing))
        if task is not None:
            finish(session, name, task)
        finish(session, name, session.call(partial(_destroy, thing)))


def _power_off(thing: Any, _content: Any) -> Any:
    if isinstance(thing, vim.VirtualMachine) and str(thing.runtime.powerState) == "poweredOn":
        return thing.PowerOffVM_Task()
    return None


def _destroy(thing: Any, _content: Any) -> Any:
    return thing.Destroy_Task()


def _orphans(content: Any, kind: Any, name: str, prefix: str) -> list[Any]:
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        named = [thing for thing in view.view if thing.name == name]
    finally:
        view.DestroyView()
    if kind is vim.VirtualMachine:
        return [vm for vm in named if str(vm.config.annotation or "").startswith(prefix)]
    if kind is vim.Folder:
        return [folder for folder in named if not folder.childEntity]
    return [pool for pool in named if not pool.vm and not pool.resourcePool]
