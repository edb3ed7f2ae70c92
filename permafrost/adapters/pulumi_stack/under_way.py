"""What vCenter still does that a process asked for which has ended.

A clone that vCenter has begun goes on without its provider, and its VM may come into the inventory
only after somebody has looked for it: then the next run finds its name taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from permafrost.adapters.pulumi_stack.checkpoint import CREATING, VM_TYPE
from permafrost.adapters.pulumi_stack.removal import not_removed
from permafrost.adapters.vsphere import VcenterSession
from permafrost.adapters.vsphere.tasks import UNDER_WAY, again, named
from permafrost.engine.waiting import SystemClock, wait_until

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.checkpoint import Pending
    from permafrost.site.load import LoadedSite

log = logging.getLogger(__name__)

CLONE = "VirtualMachine.clone"
DEADLINE_S = 1800.0
"""As long as the provider itself gives a clone by default."""
EVERY_S = 0.5


def await_clones(loaded: LoadedSite, pending: Iterable[Pending]) -> None:
    """Return when the clones have ended that these creations may have begun.

    A task names the template, not the clone: those of the site's template that run now are
    waited for, and none that somebody begins later. Raises Failed when the time is up.
    """
    asked = sorted(p.name for p in pending if p.operation == CREATING and p.type == VM_TYPE)
    if not asked:
        return
    session = VcenterSession(loaded)
    try:
        tasks = session.call(partial(_clones, loaded.site.vcenter.template))
        if tasks:
            log.warning("vCenter still clones, as an interrupted run asked: waiting for its end")
        if not wait_until(
            lambda: not session.call(partial(_running, tasks)),
            clock=SystemClock(),
            deadline_s=DEADLINE_S,
            every_s=EVERY_S,
        ):
            raise not_removed(", ".join(asked), f"its clone still runs after {DEADLINE_S:g} s")
    finally:
        session.close()


def _clones(template: str, content: Any) -> list[Any]:
    found = [vm for vm, _ in named(content, vim.VirtualMachine, {template})]
    return _running([task for vm in found for task in vm.recentTask or ()], content)


def _running(tasks: Iterable[Any], content: Any) -> list[Any]:
    return [task for task in tasks if _is_running_clone(again(content, task))]


def _is_running_clone(task: Any) -> bool:
    try:
        info = task.info
    except vmodl.fault.ManagedObjectNotFound:
        return False
    return str(info.descriptionId) == CLONE and str(info.state) in UNDER_WAY
