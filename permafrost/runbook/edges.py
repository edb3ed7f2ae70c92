"""Tell every edge, and bring edges that forgot back to what was declared."""

from __future__ import annotations

import logging
from dataclasses import replace

from permafrost.engine.observe import observe_machines
from permafrost.errors import Failed, Problem, Refused
from permafrost.planning.drain import plan_drain
from permafrost.planning.live import LiveState
from permafrost.ports import ServerState
from permafrost.runbook.context import Context
from permafrost.runbook.looking import look
from permafrost.topology import nodes

log = logging.getLogger(__name__)


def require_answers(live: LiveState, replica: str) -> None:
    """Raise Failed when an edge does not answer although its machine runs."""
    silent = live.traffic.unreachable
    if all(live.is_gone(edge) for edge in silent) and not (silent and live.traffic.edges()):
        return
    raise Failed(
        *(
            Problem(
                "EDGE_UNREACHABLE",
                f"cannot be told about {replica}: {reason}",
                edge,
                "`permafrost status` shows its VM; once it answers, run it again",
            )
            for edge, reason in sorted(silent.items())
        )
    )


def set_on_edges(ctx: Context, replica: str, state: ServerState) -> tuple[str, ...]:
    """Set a replica's state on every edge; return the edges whose machine is off.

    An edge that is off sends nobody anything; when it comes back it is told again
    (``reassert_drains``). An edge that runs and does not answer is a failure.
    """
    traffic = ctx.traffic.observe()
    if not traffic.unreachable:
        ctx.traffic.set_state(replica, state)
        return ()
    require_answers(replace(observe_machines(ctx.hypervisor), traffic=traffic), replica)
    return tuple(sorted(traffic.unreachable))


def reassert_drains(ctx: Context) -> tuple[str, ...]:
    """Set again to drain what is declared away; an edge forgets it when it restarts.

    A drain that was only begun, and would now leave fewer than ``min_ready``, is not: whoever
    began it has to ask again.
    """
    again = []
    for node in nodes(ctx.site):
        declared = ctx.store.declared().get(node.name)
        if declared is None or not declared.is_away:
            continue
        live = look(ctx)
        if all(s.admin is not ServerState.READY for s in live.traffic.of(node.name)):
            continue
        try:
            plan_drain(ctx.site, live, node)
        except Refused as error:
            log.warning("%s is not set to drain again: %s", node.name, error)
            continue
        ctx.traffic.set_state(node.name, ServerState.DRAIN)
        again.append(node.name)
    return tuple(again)
