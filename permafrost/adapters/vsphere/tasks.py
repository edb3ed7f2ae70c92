"""Find an object by its name; wait for a task and translate its fault.

A name is looked for with one question, however many objects there are.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import closing
from typing import Any

from pyVmomi import vim

from permafrost.adapters.vsphere.session import VcenterSession
from permafrost.adapters.vsphere.traversal import answers, in_view
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, Problem
from permafrost.ports import Clock

ENDED = ("success", "error")
UNDER_WAY = ("queued", "running")
EVERY_S = 0.3
CODES = {vim.VirtualMachine: "VM_MISSING", vim.HostSystem: "HOST_MISSING"}


def find(content: Any, kind: Any, name: str) -> Any:
    """Return an object by its name; raise Failed when vCenter has none."""
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        with closing(answers(content, in_view(view, {kind: ["name"]}))) as found:
            for reference, row in found:
                if row.get("name") == name:
                    return reference
    finally:
        view.DestroyView()
    what = "host" if kind is vim.HostSystem else "VM"
    hint = "`permafrost drift` compares vCenter with the site; was it renamed or removed there?"
    raise Failed(Problem(CODES[kind], f"vCenter has no such {what}", name, hint))


def named(content: Any, kind: Any, names: Container[str]) -> list[tuple[Any, str]]:
    """Return the objects that bear one of these names, each with its own."""
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        rows = answers(content, in_view(view, {kind: ["name"]}))
        return [(thing, str(row["name"])) for thing, row in rows if row.get("name") in names]
    finally:
        view.DestroyView()


def again(content: Any, found: Any) -> Any:
    """Return an object that was found before, in the session that there is now."""
    return type(found)(found._moId, content.rootFolder._stub)


def await_task(
    session: VcenterSession,
    name: str,
    task: Any,
    clock: Clock,
    deadline_s: float,
    *,
    code: str = "VCENTER_TASK",
) -> None:
    """Wait for a task's end; raise Failed with vCenter's words when it did not go well."""

    def info_of(content: Any) -> Any:
        return again(content, task).info

    def has_ended() -> bool:
        return session.call(lambda content: str(info_of(content).state)) in ENDED

    if not wait_until(has_ended, clock=clock, deadline_s=deadline_s, every_s=EVERY_S):
        raise Failed(
            Problem(
                f"{code}_DEADLINE",
                f"no result within {deadline_s:g} s",
                name,
                "it may still run: see the recent tasks in vCenter, then `permafrost resume`",
            )
        )
    info = session.call(info_of)
    if str(info.state) == "error":
        fault = getattr(info.error, "msg", "") or type(info.error).__name__
        hint = "`permafrost preflight` explains what vCenter refuses; mend it, then resume"
        raise Failed(Problem(f"{code}_REFUSED", f"vCenter: {fault}", name, hint))
