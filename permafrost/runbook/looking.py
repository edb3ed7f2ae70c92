"""Look at the site through the ports of a context."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from permafrost.engine.observe import observe, observe_serving
from permafrost.engine.releases import releases
from permafrost.errors import Refused
from permafrost.planning.drain import DrainPlan, plan_drain
from permafrost.planning.force import Force
from permafrost.planning.live import LiveState
from permafrost.planning.lookup import replica_named
from permafrost.runbook.context import Context
from permafrost.topology import Node, nodes, replicas


def look(ctx: Context, at: Iterable[Node] | None = None) -> LiveState:
    """Return a snapshot of the site, or of some of its nodes."""
    seen = observe(
        nodes(ctx.site) if at is None else at,
        hypervisor=ctx.hypervisor,
        traffic=ctx.traffic,
        models=ctx.models,
        store=ctx.store,
    )
    ctx.looked = ctx.clock.monotonic(), seen.traffic
    return replace(seen, releases=releases(ctx.store, ctx.loaded))


def look_around(ctx: Context, node: Node) -> LiveState:
    """Return a snapshot of a replica and those that serve the same endpoint."""
    members = replicas(ctx.site, node.endpoint) if node.endpoint in ctx.site.inference else ()
    return look(ctx, {n.name: n for n in (*members, node)}.values())


def look_at_slots(ctx: Context, endpoint: str) -> LiveState:
    """Return what edges and an endpoint's replicas say: which slot could answer.

    A step on slots needs no more. vCenter would be the slowest to answer, and tells nothing of it.
    """
    members = replicas(ctx.site, endpoint)
    return observe_serving(members, traffic=ctx.traffic, models=ctx.models, store=ctx.store)


def look_to_drain(
    ctx: Context, node: Node, *, force: Force | None = None
) -> tuple[DrainPlan, LiveState]:
    """Return whether a replica may be taken away now, and what was seen; Refused as the plan is.

    Edges and declarations alone decide that: nodes and vCenter are asked where an edge is silent
    or the answer is no, to tell why.
    """
    live = LiveState(traffic=ctx.traffic.observe(), declared=ctx.store.declared())
    if not live.traffic.unreachable:
        with suppress(Refused):
            return plan_drain(ctx.site, live, node, force=force), live
    live = look_around(ctx, node)
    return plan_drain(ctx.site, live, node, force=force), live


def as_replica(ctx: Context, replica: Node | str) -> Node:
    """Return the node of a name; a node is taken as it is, also one that leaves the site."""
    return replica if isinstance(replica, Node) else replica_named(ctx.site, replica)
