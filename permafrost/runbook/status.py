"""Show the site as it is."""

from __future__ import annotations

from permafrost.planning.sent_nevertheless import Unfinished
from permafrost.planning.status import SiteStatus, site_status
from permafrost.runbook.context import Context
from permafrost.runbook.drift import drift_of
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.looking import look
from permafrost.runbook.registry_contents import unanswered
from permafrost.topology import registry_node


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
    node = registry_node(ctx.site)
    vm = live.inventory.vm(node.name) if node is not None else None
    # Of one that is off no answer is awaited; whether it is, vCenter alone can say.
    silent = unanswered(ctx) if live.blind or (vm is not None and vm.is_on) else None
    return site_status(
        ctx.site,
        live,
        running,
        drift_of(ctx, live),
        knowledge=known,
        silent=silent.problems[0].message if silent is not None else "",
        unfinished=[
            Unfinished(run.operation, run.plan.name, run.back is not None)
            for run in ctx.store.runs.unfinished()
        ],
    )
