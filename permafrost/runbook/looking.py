"""Look at the site through the ports of a context."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from permafrost.engine.observe import observe, observe_machines, observe_serving
from permafrost.engine.releases import releases
from permafrost.errors import Refused
from permafrost.facts import Traffic
from permafrost.planning.drain import DrainPlan, plan_drain
from permafrost.planning.force import Force
from permafrost.planning.live import LiveState
from permafrost.planning.lookup import replica_named
from permafrost.runbook.context import Context
from permafrost.topology import Node, nodes, replicas

FRESH_S = 5.0
"""How old a look at the edges may be that tells what held a moment ago."""
COUNTED_S = 1.0
"""How old the counts of edges may be that an operation ends with."""


def look(ctx: Context, at: Iterable[Node] | None = None) -> LiveState:
    """Return a snapshot of the site, or of some of its nodes."""
    seen = observe(
        nodes(ctx.site) if at is None else at,
        hypervisor=ctx.hypervisor,
        traffic=ctx.traffic,
        models=ctx.models,
        store=ctx.store,
    )
    _note_edges(ctx, seen.traffic)
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


def look_at_machines(ctx: Context) -> LiveState:
    """Return what vCenter says.

    What the edges have counted so far is asked meanwhile: it is noted before an operation begins.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        noted = pool.submit(look_at_edges, ctx)
        live = observe_machines(ctx.hypervisor)
        noted.result()
    return live


def look_at_edges(ctx: Context) -> None:
    """Ask the edges, for who wants to know what held a moment ago (``edges_just_seen``)."""
    _note_edges(ctx, ctx.traffic.observe())


def _note_edges(ctx: Context, traffic: Traffic) -> None:
    ctx.looked = ctx.clock.monotonic(), traffic


def edges_just_seen(ctx: Context) -> Traffic | None:
    """Return what edges said at the last look, if that was a moment ago (``FRESH_S``).

    Nothing may be done by it: for that edges are asked anew. Nor may anything be taken for done,
    but for what is asked anew before somebody builds on it.
    """
    if ctx.looked is None or ctx.clock.monotonic() - ctx.looked[0] > FRESH_S:
        return None
    return ctx.looked[1]


def note_counts(ctx: Context, traffic: Traffic) -> None:
    """Keep what edges have counted: where the operation ends with it, they are not asked anew."""
    ctx.counted = ctx.clock.monotonic(), traffic


def counts_just_seen(ctx: Context) -> Traffic | None:
    """Return what edges had counted when a step last asked them, if that was just now."""
    if ctx.counted is None or ctx.clock.monotonic() - ctx.counted[0] > COUNTED_S:
        return None
    return ctx.counted[1]


def look_to_drain(
    ctx: Context, node: Node, *, force: Force | None = None
) -> tuple[DrainPlan, LiveState]:
    """Return whether a replica may be taken away now, and what was seen; Refused as the plan is.

    Edges and declarations alone decide that: nodes and vCenter are asked where an edge is silent
    or the answer is no, to tell why.
    """
    live = LiveState(traffic=ctx.traffic.observe(), declared=ctx.store.declared())
    _note_edges(ctx, live.traffic)
    if not live.traffic.unreachable:
        with suppress(Refused):
            return plan_drain(ctx.site, live, node, force=force), live
    live = look_around(ctx, node)
    return plan_drain(ctx.site, live, node, force=force), live


def as_replica(ctx: Context, replica: Node | str) -> Node:
    """Return the node of a name; a node is taken as it is, also one that leaves the site."""
    return replica if isinstance(replica, Node) else replica_named(ctx.site, replica)
