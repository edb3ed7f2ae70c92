"""One thing taken out of vCenter, asked for until it is gone.

What a process has asked of vCenter goes on there after that process was killed. Meanwhile vCenter
refuses to remove what it works on, or the thing has become another: a clone got its annotation, or
runs. So a refusal is no end: the thing is looked at again, and what may still be removed is asked
for again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from permafrost.adapters.vsphere.tasks import ENDED, again
from permafrost.engine.waiting import SystemClock, wait_until
from permafrost.errors import Failed, Problem

if TYPE_CHECKING:
    from permafrost.adapters.vsphere import VcenterSession

log = logging.getLogger(__name__)

DEADLINE_S = 300.0
LAST_S = 10.0
"""What a task has at least: the last one is begun when the time is nearly up."""
EVERY_S = 0.5
Ask = Callable[[Any], Any]
"""Looks with the service content, and asks for the next step of a removal.

Returns vCenter's task, or None when there is nothing that may be removed.
"""


def remove(session: VcenterSession, name: str, ask: Ask) -> None:
    """Ask until nothing is left that may be removed; what vanishes meanwhile is gone.

    Raises Failed (``ORPHAN_NOT_REMOVED``) with vCenter's own words when ``DEADLINE_S`` is over,
    and at once where the user lacks the right: no waiting gives it. A vCenter that cannot be
    reached, or takes no login, is the session's error and not waited for either.
    """
    clock = SystemClock()
    end = clock.monotonic() + DEADLINE_S
    seen: str | None = None

    def is_gone() -> bool:
        nonlocal seen
        task, refusal = session.call(partial(_asked, name, ask))
        if task is None and not refusal:
            return True
        if seen is None:
            log.warning("removing %s, which an interrupted run left in vCenter", name)
        if task is not None:
            refusal = _ending(session, name, task, max(end - clock.monotonic(), LAST_S))
        if refusal not in ("", seen):
            log.warning("%s: vCenter does not remove it yet: %s", name, refusal)
        seen = refusal
        return False

    if not wait_until(is_gone, clock=clock, deadline_s=DEADLINE_S, every_s=EVERY_S):
        raise not_removed(name, seen or f"it is still there after {DEADLINE_S:g} s")


def not_removed(name: str, seen: str) -> Failed:
    """Return the error that says what vCenter had against it."""
    return Failed(
        Problem(
            "ORPHAN_NOT_REMOVED",
            f"an interrupted run left it in vCenter, and vCenter does not remove it: {seen}",
            path=name,
            hint="mend what vCenter says, or remove it by hand; then run the command again",
        )
    )


def _asked(name: str, ask: Ask, content: Any) -> tuple[Any, str]:
    """Return the task that was asked for, or why vCenter refused to begin it."""
    try:
        return ask(content), ""
    except vim.fault.NotAuthenticated:
        raise  # the session logs in anew
    except vmodl.MethodFault as fault:
        return None, _words(name, fault)


def _ending(session: VcenterSession, name: str, task: Any, deadline_s: float) -> str:
    """Return why a task did not do it; empty when it did, or when vCenter knows it no more."""
    infos: list[Any] = []

    def has_ended() -> bool:
        infos.append(session.call(partial(_info, task)))
        return infos[-1] is None or str(infos[-1].state) in ENDED

    if not wait_until(has_ended, clock=SystemClock(), deadline_s=deadline_s, every_s=EVERY_S):
        return f"its task {task._moId} still runs"
    error = infos[-1] and infos[-1].error
    return _words(name, error) if error else ""


def _info(task: Any, content: Any) -> Any:
    try:
        return again(content, task).info
    except vmodl.fault.ManagedObjectNotFound:
        return None  # vCenter was started anew: what became of it is seen at the thing itself


def _words(name: str, fault: Any) -> str:
    words = str(getattr(fault, "msg", "") or type(fault).__name__)
    if isinstance(fault, vim.fault.NoPermission):
        raise not_removed(name, words) from None
    return words
