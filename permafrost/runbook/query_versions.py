"""A version goes up while two of Milvus serve: no query node has a leader that is older than it.

A leader of 2.3.4 takes what a query node of 2.3.5 finds for nothing, without an error; the other
way round it is right (seen on a lab, 16 of 16 known answers). So nodes that come are given no
segments of others, from before the first of them is of the next version until all are; and a node
that goes meanwhile is not marked as one that stops (permafrost-knowledge-leaders).
"""

from __future__ import annotations

from permafrost.facts import MemberState
from permafrost.planning.knowledge import version_of
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import answering, vector_store


def hold_balance(ctx: Context) -> bool:
    """Hold it where query nodes of another version than the site's run; return whether.

    Milvus takes it over within 5 s. Whoever hands over next takes longer, before any node comes.
    """
    states = answering(ctx)
    if not version_of(ctx.site).pins_leaders or _are_as_the_site_says(ctx, states):
        return False
    ctx.guard()
    vector_store(ctx).hold_balance(min(states))
    return True


def release_balance(ctx: Context) -> bool:
    """Release it once every query node is of the site's version; return whether it was held."""
    states = answering(ctx)
    is_held = any(state.balance_held for state in states.values())
    if not is_held or not _are_as_the_site_says(ctx, states):
        return False
    ctx.guard()
    vector_store(ctx).release_balance(min(states))
    return True


def _are_as_the_site_says(ctx: Context, states: dict[str, MemberState]) -> bool:
    found = {version for state in states.values() for version in state.query_versions}
    return found <= {version_of(ctx.site).name}
