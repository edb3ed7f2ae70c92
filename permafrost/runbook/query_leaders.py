"""Spread the leaders of channels over members, once one is back and the tier is whole.

A member's going has put them all on those that stayed. Query nodes are emptied and begin anew, one
at a time, with the known answers in between; what is decided is decided by what is seen.
"""

from __future__ import annotations

from permafrost.errors import Failed
from permafrost.planning.knowledge import milvus_of
from permafrost.planning.query_leaders import spreading
from permafrost.planning.query_replicas import QueryNode
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import STEADY_S, answering, await_ready, vector_store
from permafrost.runbook.query_replicas import RESTART_S


def node_to_restart(ctx: Context) -> QueryNode | None:
    """Return the query node whose restart spreads leaders; None where they are spread."""
    return spreading(ctx.site, answering(ctx))


def spread_leaders(ctx: Context) -> tuple[str, ...]:
    """Restart query nodes until no channel is led on one member alone that need not be.

    The tier is whole before and after. Returns what was restarted; one that is not restarted, or
    does not come back, is told by what waits for the tier.
    """
    done: list[str] = []
    tried: set[QueryNode] = set()
    for _ in range(milvus_of(ctx.site).roles.query):
        node = node_to_restart(ctx)
        # Chosen again it has not helped: Milvus gave what it led to another one than was assumed.
        if node is None or node in tried:
            break
        tried.add(node)
        ctx.guard()
        try:
            vector_store(ctx).restart(node.member, node.unit, deadline_s=RESTART_S)
        except Failed as error:
            done.append(f"{node.member}: {node.unit}: {error.problems[0].message}")
            break
        done.append(f"{node.member}: {node.unit} restarted, leaders stood on one member alone")
        await_ready(ctx, steady_s=STEADY_S)
    return tuple(done)
