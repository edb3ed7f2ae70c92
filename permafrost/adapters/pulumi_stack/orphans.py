"""Objects that an interrupted run had asked vCenter for, and that Pulumi's state never learnt of.

They never served anybody: they are removed, and the next ``up`` makes them anew. A VM must carry
our annotation; a folder or pool must be empty; otherwise it is somebody's, and it stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from permafrost.adapters.pulumi_stack.checkpoint import CREATING, VM_TYPE
from permafrost.adapters.pulumi_stack.orphan_marks import remove_mark, remove_rule
from permafrost.adapters.pulumi_stack.ownership import OWNED, ownership_prefix
from permafrost.adapters.pulumi_stack.removal import remove
from permafrost.adapters.vsphere import VcenterSession
from permafrost.adapters.vsphere.tasks import named

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.checkpoint import Pending
    from permafrost.site.load import LoadedSite

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
    One that gets our mark, or is powered on, while it is to be removed is half made no more: it
    stays, and is the interrupted creation's (``remove_orphans``).
    """
    wanted = frozenset(names)
    if not wanted:
        return
    session = VcenterSession(loaded)
    try:
        folder = loaded.site.vcenter.folder.rpartition("/")[2]
        found = session.call(partial(_half_made, wanted, folder))
        for name in sorted({name for _, name in found}):
            remove(session, name, partial(_destroy_half_made, name, folder))
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
    found = named(content, vim.VirtualMachine, wanted)
    return [(vm, name) for vm, name in found if _is_half_made(vm, folder)]


def _is_half_made(vm: Any, folder: str) -> bool:
    try:
        config = vm.config  # unset as long as vCenter does not know it itself
        return (
            config is not None
            and str(vm.runtime.powerState) == "poweredOff"
            and str(vm.parent.name) == folder
            and not str(config.annotation or "").startswith(OWNED)
            and not any(
                isinstance(device, vim.vm.device.VirtualPCIPassthrough)
                for device in config.hardware.device
            )
        )
    except vmodl.fault.ManagedObjectNotFound:
        return False


def _destroy_half_made(name: str, folder: str, content: Any) -> Any:
    for vm, _ in _half_made(frozenset({name}), folder, content):
        return vm.Destroy_Task()
    return None


def _remove(session: VcenterSession, loaded: LoadedSite, kind: Any, name: str) -> None:
    if kind is vim.ClusterComputeResource:
        remove_rule(session, loaded.site.vcenter.cluster, name)
        return
    prefix = ownership_prefix(loaded.site, name)
    remove(session, name, partial(_take_down, kind, name, prefix))


def _take_down(kind: Any, name: str, prefix: str, content: Any) -> Any:
    """Ask for the next step: what runs is powered off, then it is destroyed."""
    for thing, _ in named(content, kind, (name,)):
        if _is_orphan(thing, prefix):
            is_on = kind is vim.VirtualMachine and str(thing.runtime.powerState) == "poweredOn"
            return thing.PowerOffVM_Task() if is_on else thing.Destroy_Task()
    return None


def _is_orphan(thing: Any, prefix: str) -> bool:
    if isinstance(thing, vim.VirtualMachine):
        config = thing.config
        return config is not None and str(config.annotation or "").startswith(prefix)
    if isinstance(thing, vim.Folder):
        return not thing.childEntity
    return not thing.vm and not thing.resourcePool
