"""Tell every edge, and bring edges that forgot back to what was declared."""

from __future__ import annotations

import logging
from dataclasses import replace

from permafrost.engine.observe import observe_machines
from permafrost.errors import Failed, Problem, Refused
from permafrost.facts import ServerState, Traffic
from permafrost.planning.drain import plan_drain
from permafrost.planning.live import LiveState
from permafrost.runbook.context import Context
from permafrost.runbook.looking import look
from permafrost.topology import Tier, edges, nodes

log = logging.getLogger(__name__)


def require_answers(live: LiveState, what: str) -> frozenset[str]:
    """Return the edges whose machine is off; raise Failed when one that runs does not answer."""
    silent = live.traffic.unreachable
    running = {edge: reason for edge, reason in silent.items() if not live.is_gone(edge)}
    if not running:
        return frozenset(silent)
    raise Failed(
        *(
            Problem(
                "EDGE_UNREACHABLE",
                f"cannot be told about {what}: {reason}",
                edge,
                "`permafrost status` shows its VM; once it answers, run it again",
            )
            for edge, reason in sorted(running.items())
        )
    )


def edges_that_are_off(ctx: Context, traffic: Traffic, what: str) -> frozenset[str]:
    """Return which silent edges are off; vCenter is asked only where one is silent."""
    if not traffic.unreachable:
        return frozenset()
    live = replace(observe_machines(ctx.hypervisor), traffic=traffic)
    return require_answers(live, what)


def set_on_edges(
    ctx: Context,
    replica: str,
    state: ServerState,
    *,
    unseen: bool = False,
    live: LiveState | None = None,
    traffic: Traffic | None = None,
) -> tuple[tuple[str, ...], Traffic]:
    """Set a replica's state on every edge; return those whose machine is off, and what is seen.

    ``unseen``: also those that run and do not answer are left as they are. ``live`` is what was
    just seen of edges and vCenter, ``traffic`` of edges alone: they are not asked once more.

    An edge that is off sends nobody anything; when it comes back it is told again
    (``reassert_drains``). An edge that runs and does not answer is a failure.
    """
    if live is not None:
        traffic = live.traffic
    traffic = traffic or ctx.traffic.observe()
    off = frozenset(traffic.unreachable)
    if not unseen:
        off = (
            require_answers(live, replica)
            if live is not None
            else edges_that_are_off(ctx, traffic, replica)
        )
    return tuple(sorted(off)), ctx.traffic.set_state(replica, state, but=off)


def _as_it_is(live: LiveState, replica: str) -> LiveState:
    """Return the snapshot in which the others that serve do so, whatever was declared of them.

    Drains that were made while no edge ran may leave nobody: those that edges send requests to
    when they come back are then all there is.
    """
    declared = {
        name: record
        for name, record in live.declared.items()
        if name == replica or not (record.is_away and live.traffic.serves(name))
    }
    return replace(live, declared=declared)


def reassert_drains(ctx: Context, edge: str | None = None) -> tuple[str, ...]:
    """Tell the edges, or one of them, again whom they keep away; one made anew knows nobody.

    A drain that was only begun, and would now leave fewer than ``min_ready``, is not: whoever
    began it has to ask again.
    """
    every = frozenset(e.name for e in edges(ctx.site))
    again = []
    for node in nodes(ctx.site):
        if node.tier is not Tier.INFERENCE:  # a drained member is no server of an endpoint
            continue
        declared = ctx.store.declared().get(node.name)
        if declared is None or not declared.is_away:
            continue
        live = look(ctx)
        but = every - {edge} if edge else require_answers(live, node.name)
        if live.traffic.keeps_away(node.name, every - but):
            continue
        try:
            plan_drain(ctx.site, _as_it_is(live, node.name), node)
        except Refused as error:
            log.warning("%s is not set to drain again: %s", node.name, error)
            continue
        ctx.traffic.set_state(node.name, ServerState.DRAIN, but=but)
        again.append(node.name)
    return tuple(again)
