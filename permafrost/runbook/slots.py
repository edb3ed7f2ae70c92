"""Which slot answers, told to the edges; and the record of it kept with what the site pins."""

from __future__ import annotations

from permafrost.engine.releases import is_overruled, record_release, releases
from permafrost.planning.release import Release, routes_of
from permafrost.runbook.context import Context
from permafrost.runbook.edges import edges_that_are_off
from permafrost.topology import edges


def routes(ctx: Context, instead: Release | None = None) -> dict[str, str]:
    """Return what every edge must know now; ``instead``: with this for its endpoint."""
    held = dict(releases(ctx.store, ctx.loaded))
    if instead is not None:
        held[instead.endpoint] = instead
    return routes_of(held.values())


def tell_slots(ctx: Context, edge: str | None = None) -> tuple[str, ...]:
    """Make the edges, or one of them, route as recorded; return the edges that are off."""
    if edge:
        others = frozenset(e.name for e in edges(ctx.site)) - {edge}
        ctx.traffic.set_routes(routes(ctx), but=others)
        return ()
    off = edges_that_are_off(ctx, ctx.traffic.observe(), "which slot answers")
    ctx.traffic.set_routes(routes(ctx), but=off)
    return tuple(sorted(off))


def settle_record(ctx: Context, endpoint: str) -> None:
    """Write anew a record that a moved pin has overruled: it must not come to life again."""
    if is_overruled(ctx.store, ctx.loaded, endpoint):
        record_release(ctx.store, ctx.release(endpoint))
