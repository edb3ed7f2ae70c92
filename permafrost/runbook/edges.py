"""Tell every edge, and bring edges that forgot back to what was declared."""

from __future__ import annotations

from permafrost.engine.observe import observe_machines
from permafrost.errors import Failed, Problem
from permafrost.ports import ServerState, Traffic
from permafrost.runbook.context import Context
from permafrost.topology import edges


def set_on_edges(ctx: Context, replica: str, state: ServerState) -> tuple[str, ...]:
    """Set a replica's state on every edge; return the edges whose machine is off.

    An edge that is off sends nobody anything; when it comes back it is told again
    (``reassert_drains``). An edge that runs and does not answer is a failure.
    """
    traffic = ctx.traffic.observe()
    if not traffic.unreachable:
        ctx.traffic.set_state(replica, state)
        return ()
    live = observe_machines(ctx.hypervisor)
    running = [e for e in traffic.unreachable if not live.is_gone(e)]
    if running or traffic.edges():
        raise Failed(
            *(
                Problem(
                    "EDGE_UNREACHABLE",
                    f"cannot be told to set {replica} to {state.value}: {reason}",
                    edge,
                    "`permafrost status` shows its VM; once it answers, run it again",
                )
                for edge, reason in sorted(traffic.unreachable.items())
            )
        )
    return tuple(sorted(traffic.unreachable))


def reassert_drains(ctx: Context) -> tuple[str, ...]:
    """Set every replica that is declared away to drain again; HAProxy forgets it on a reload."""
    again = []
    for name, declared in ctx.store.declared().items():
        if declared.is_away and _forgotten(ctx.traffic.observe(), name):
            ctx.traffic.set_state(name, ServerState.DRAIN)
            again.append(name)
    return tuple(again)


def _forgotten(traffic: Traffic, replica: str) -> bool:
    return any(s.admin is ServerState.READY for s in traffic.of(replica))


def edge_names(ctx: Context) -> tuple[str, ...]:
    """Return the site's edges."""
    return tuple(e.name for e in edges(ctx.site))
