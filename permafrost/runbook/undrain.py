"""Bring a drained replica back: the same gate as for a new one."""

from __future__ import annotations

from permafrost.errors import Problem, Refused
from permafrost.planning.live import LiveState
from permafrost.runbook.admit import AdmitEvidence, admit_replica
from permafrost.runbook.context import Context
from permafrost.runbook.looking import as_replica
from permafrost.topology import Node


def undrain_replica(ctx: Context, replica: Node | str, *, owner: str) -> AdmitEvidence:
    """Bring a replica back into rotation; Refused at once when its VM cannot answer."""
    node = as_replica(ctx, replica)
    live = LiveState(inventory=ctx.hypervisor.observe())
    vm = live.inventory.vm(node.name)
    if vm is None or live.is_gone(node.name):
        why = "there is no VM" if vm is None else f"its VM is off or {vm.host} is not connected"
        raise Refused(
            Problem("REPLICA_NOT_RUNNING", why, node.name, "power the VM on, then run it again")
        )
    return admit_replica(ctx, node, owner=owner)
