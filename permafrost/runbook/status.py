"""Show the site as it is."""

from __future__ import annotations

from permafrost.planning.status import SiteStatus, site_status
from permafrost.runbook.context import Context
from permafrost.runbook.drift import drift_of
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.looking import look
from permafrost.runbook.registry_contents import unanswered


def read_status(ctx: Context) -> SiteStatus:
    """Return the site's status."""
    holder = ctx.store.lock.holder()
    running = None
    if holder is not None:
        running = {
            "command": holder.owner,
            "since": holder.acquired_at,
            "holder": str(holder.holder),
        }
    live = look(ctx)
    known = read_knowledge(ctx) if ctx.site.knowledge is not None else None
    silent = unanswered(ctx)
    return site_status(
        ctx.site,
        live,
        running,
        drift_of(ctx, live),
        knowledge=known,
        silent=silent.problems[0].message if silent is not None else "",
    )
