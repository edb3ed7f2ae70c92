"""Bring a drained replica back: the same gate as for a new one."""

from __future__ import annotations

from permafrost.errors import Problem, Refused
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
    vm = live.inventory.vm(node.name)
    if live.is_gone(node.name):
        why = "there is no VM" if vm is None else f"its VM is off or {vm.host} is not connected"
        raise Refused(
            Problem("REPLICA_NOT_RUNNING", why, node.name, "power the VM on, then run it again")
        )
    return live
