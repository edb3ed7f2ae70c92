"""Bring a drained replica back: the same gate as for a new one."""

from __future__ import annotations

from collections.abc import Iterable

from permafrost.errors import Problem, Refused
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.steps import OperationPlan
from permafrost.runbook.admit import AdmitEvidence, admit_replica, preview_admit
from permafrost.runbook.context import Context
from permafrost.runbook.looking import as_replica, look_around
from permafrost.topology import Node


def preview_undrain(ctx: Context, replica: Node | str, *, owner: str) -> OperationPlan:
    """Return what bringing a replica back means now; raises Refused and Held as it would."""
    node = as_replica(ctx, replica)
    return preview_admit(ctx, node, owner=owner, live=_look_while_it_runs(ctx, node))


def undrain_replica(
    ctx: Context, replica: Node | str, *, owner: str, shown: str | None = None
) -> AdmitEvidence:
    """Bring a replica back into rotation; Refused when its VM cannot answer.

    ``shown``: the fingerprint of the plan that was confirmed; another one is refused.
    """
    node = as_replica(ctx, replica)
    live = _look_while_it_runs(ctx, node)
    return admit_replica(ctx, node, owner=owner, shown=shown, live=live)


def _look_while_it_runs(ctx: Context, node: Node) -> LiveState:
    """Return what vCenter, edges and nodes say, all asked at once; Refused where its VM is off."""
    live = look_around(ctx, node)
    if live.is_gone(node.name):
        why, hint = _why_gone(live, node, ctx.store.maintenance.all())
        raise Refused(Problem("REPLICA_NOT_RUNNING", why, node.name, hint))
    return live


def _why_gone(
    live: LiveState, node: Node, records: Iterable[MaintenanceRecord]
) -> tuple[str, str]:
    """Return why its VM cannot answer, and what brings it back: not each can be powered on."""
    vm = live.inventory.vm(node.name)
    if vm is None:
        return "there is no VM", "`permafrost deploy` makes it; then run it again"
    host = live.inventory.host(vm.host)
    if not vm.is_connected or (host is not None and not host.connected):
        return (
            f"{vm.host} is not connected",
            f"bring {vm.host} back to vCenter and start the VM, then run it again",
        )
    record = next((r for r in records if r.host == vm.host), None)
    if record is not None or (host is not None and host.in_maintenance):
        name = record.name if record is not None else vm.host
        return (
            f"its VM is off, and {vm.host} is in maintenance",
            f"`permafrost maintenance exit {name}` first; what it does not bring back, "
            "`permafrost deploy` starts",
        )
    return "its VM is off", "power the VM on (`permafrost deploy` does), then run it again"
