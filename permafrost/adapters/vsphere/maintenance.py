"""Maintenance mode of a host.

Entering waits, on vCenter's side, until nothing runs on the host any more. That task outlives the
process that asked for it: a second request joins it, leaving withdraws it, and a deadline that
passes withdraws it too, so that no host closes long after everybody has forgotten why.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from pyVmomi import vim, vmodl

from permafrost.adapters.vsphere.session import VcenterSession
from permafrost.adapters.vsphere.tasks import EVERY_S, UNDER_WAY, again, await_task, find
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, Problem
from permafrost.ports import Clock

ENTERING = "HostSystem.enterMaintenanceMode"


def enter(session: VcenterSession, host: str, clock: Clock, deadline_s: float) -> None:
    """Return when the host is in maintenance mode; raise Failed when it is not in time."""
    found = session.call(lambda content: find(content, vim.HostSystem, host))

    def is_in() -> bool:
        return session.call(lambda content: _is_in(again(content, found)))

    if is_in():
        return
    if not session.call(lambda content: _entering(content, host)):
        session.call(lambda content: _ask(content, host, deadline_s))
    if wait_until(is_in, clock=clock, deadline_s=deadline_s, every_s=EVERY_S):
        return
    running = session.call(lambda content: _runs_on(content, host))
    _withdraw(session, host)
    raise Failed(
        Problem(
            "MAINTENANCE_DEADLINE",
            f"not in maintenance mode within {deadline_s:g} s; "
            f"on it run {', '.join(running) or 'no VMs'}",
            host,
            "move or shut down these VMs, then resume the operation",
        )
    )


def leave(session: VcenterSession, host: str, clock: Clock, deadline_s: float) -> None:
    """Return when the host is open and nothing waits to close it."""
    _withdraw(session, host)
    if not wait_until(
        lambda: not session.call(lambda content: _entering(content, host)),
        clock=clock,
        deadline_s=60,
        every_s=EVERY_S,
    ):
        raise Failed(
            Problem(
                "MAINTENANCE_PENDING",
                "a request to enter is not withdrawn",
                host,
                "cancel the host's task `Enter maintenance mode` in vCenter, then resume",
            )
        )
    if not session.call(lambda content: _is_in(find(content, vim.HostSystem, host))):
        return
    task = session.call(
        lambda content: find(content, vim.HostSystem, host).ExitMaintenanceMode_Task(
            timeout=int(deadline_s)
        )
    )
    await_task(session, host, task, clock, deadline_s)


def _ask(content: Any, host: str, deadline_s: float) -> None:
    find(content, vim.HostSystem, host).EnterMaintenanceMode_Task(
        timeout=int(deadline_s), evacuatePoweredOffVms=False
    )


def _is_in(found: Any) -> bool:
    return bool(found.runtime.inMaintenanceMode)


def _entering(content: Any, host: str) -> list[Any]:
    tasks = find(content, vim.HostSystem, host).recentTask or []
    return [t for t in tasks if _is_entering(t)]


def _is_entering(task: Any) -> bool:
    try:
        info = task.info
    except vmodl.fault.ManagedObjectNotFound:
        return False
    return str(info.descriptionId) == ENTERING and str(info.state) in UNDER_WAY


def _withdraw(session: VcenterSession, host: str) -> None:
    for task in session.call(lambda content: _entering(content, host)):
        # It may end by itself just now.
        with suppress(Failed):
            session.call(partial(_cancel, task))


def _cancel(task: Any, _content: Any) -> None:
    task.CancelTask()


def _runs_on(content: Any, host: str) -> list[str]:
    machines = find(content, vim.HostSystem, host).vm or []
    return sorted(vm.name for vm in machines if str(vm.runtime.powerState) == "poweredOn")
