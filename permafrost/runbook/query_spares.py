"""Call spare query nodes before a member goes, and dismiss them when it is back.

What is done next is decided by what is seen (``planning.query_spares``), so that a process that is
killed anywhere here is followed by one that does the rest.
"""

from __future__ import annotations

from permafrost.errors import Failed
from permafrost.planning.knowledge import spares
from permafrost.planning.knowledge_home import next_home
from permafrost.planning.query_replicas import QueryNode, by_collection
from permafrost.planning.query_spares import Start, before_it_goes, goes_with
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import STEADY_S, await_ready, vector_store
from permafrost.runbook.query_leaders import node_to_restart, spread_leaders
from permafrost.runbook.query_replicas import RESTART_S, QueryTier, see_settled

MOST = 32
"""More steps than any tier needs: they end by themselves."""


def call_spares(ctx: Context, *, leaving: str) -> tuple[str, ...]:
    """Start spares, and empty query nodes of a member, until no replica goes with it.

    The tier is whole but for the member before and after. Returns what was done. Raises Failed
    (KNOWLEDGE_NOT_MOVED, KNOWLEDGE_NOT_READY) where something is not to be had. Where no spare
    helps nothing is done: the replica is given a node when the member has gone.
    """
    done: list[str] = []
    for _ in range(MOST if spares(ctx.site) else 0):
        seen = see_settled(ctx, lambda tier: tier.is_settled or not _goes_with(tier, leaving))
        if seen is None:
            break
        free = seen.free_of(leaving)
        step = before_it_goes(by_collection(seen.noted), seen.nodes, leaving, free)
        if step is None:
            break
        ctx.guard()
        if isinstance(step, Start):
            vector_store(ctx).start(step.spare.member, step.spare.unit)
            done.append(f"{step.spare.member}: {step.spare.unit} started for what {leaving} had")
        else:
            node = seen.nodes[step.node]
            vector_store(ctx).stop(node.member, node.unit, deadline_s=RESTART_S)
        await_ready(ctx, mending=(leaving,))
    return tuple(done)


def is_at_home(ctx: Context) -> bool:
    """Whether nothing is left of a member's going: no spare runs that may end, leaders are spread.

    Only of a tier that is ready.
    """
    return _next_home(ctx) is None and node_to_restart(ctx) is None


def bring_home(ctx: Context) -> tuple[str, ...]:
    """End spares, make replicas even and spread leaders, once every member is back.

    The tier is whole before and after. Returns what was done; what could not be is told by what
    waits for the tier, and the next runbook does it.
    """
    done: list[str] = []
    tried: set[QueryNode] = set()
    for _ in range(MOST):
        found = _next_home(ctx)
        # Chosen again it has not helped: Milvus gave it another place than was assumed.
        if found is None or found[0] in tried:
            break
        node, is_spare = found
        tried.add(node)
        ctx.guard()
        act = vector_store(ctx).stop if is_spare else vector_store(ctx).restart
        try:
            act(node.member, node.unit, deadline_s=RESTART_S)
        except Failed as error:
            done.append(f"{node.member}: {node.unit}: {error.problems[0].message}")
            break
        why = "ended" if is_spare else "restarted, replicas had unlike numbers of query nodes"
        done.append(f"{node.member}: {node.unit} {why}")
        await_ready(ctx, steady_s=STEADY_S)
    return (*done, *spread_leaders(ctx))


def _goes_with(tier: QueryTier, leaving: str) -> bool:
    return goes_with(by_collection(tier.noted), tier.nodes, leaving)


def _next_home(ctx: Context) -> tuple[QueryNode, bool] | None:
    """Return the query node that is ended or begins anew next, and whether it is a spare.

    Where neither is to be seen nothing is waited for: with resource groups of one's own not every
    node has a place in every collection.
    """

    def choice(tier: QueryTier) -> tuple[QueryNode, bool] | None:
        return next_home(ctx.site, by_collection(tier.noted), tier.nodes)

    seen = see_settled(ctx, lambda tier: tier.is_settled or choice(tier) is None)
    return None if seen is None else choice(seen)
