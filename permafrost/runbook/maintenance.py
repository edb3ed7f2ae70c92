"""Host and rack maintenance: observe, plan, (shown and confirmed elsewhere), execute."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from permafrost.engine.observe import observe_machines
from permafrost.engine.runs import Run
from permafrost.errors import Held, Problem, Refused
from permafrost.planning.force import Force
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.planning.lookup import hosts_named
from permafrost.planning.maintenance import (
    ENTER,
    EXIT,
    plan_enter,
    plan_exit,
    way_back,
    way_in_again,
)
from permafrost.planning.maintenance_steps import Away
from permafrost.planning.ok_to_stop import ok_to_stop
from permafrost.planning.steps import OperationPlan
from permafrost.planning.stop_verdict import Kind, Verdict
from permafrost.runbook.context import Context
from permafrost.runbook.execution import RunResult, carry_out
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.looking import look, look_at_machines


def judge(ctx: Context, kind: Kind, name: str) -> Verdict:
    """Return whether this may be stopped now, with the evidence."""
    live, tier = _look_at_all(ctx)
    return _judged(ctx, kind, name, live, tier)


def _look_at_all(ctx: Context) -> tuple[LiveState, KnowledgeStatus | None]:
    """Return what is seen of the site, and of its knowledge tier, both asked at once."""
    if ctx.site.knowledge is None:
        return look(ctx), None
    with ThreadPoolExecutor(max_workers=1) as pool:
        tier = pool.submit(read_knowledge, ctx)
        return look(ctx), tier.result()


def _judged(
    ctx: Context, kind: Kind, name: str, live: LiveState, tier: KnowledgeStatus | None
) -> Verdict:
    return ok_to_stop(
        ctx.site,
        live,
        kind,
        name,
        recorded=ctx.store.placement(),
        records=ctx.store.maintenance.all(),
        services=ctx.services(),
        knowledge=tier,
    )


def preview_enter(
    ctx: Context, name: str, *, owner: str, force: Force | None = None
) -> OperationPlan:
    """Return what taking a host or rack away means now; raises Refused as it would."""
    live, tier = _look_at_all(ctx)
    if live.blind:
        raise Refused(*live.blind)
    hosts = hosts_named(ctx.site, live, name)
    verdict = _judged(ctx, Kind.HOST if hosts == (name,) else Kind.RACK, name, live, tier)
    _require_nobody_at_work(ctx, verdict.stops)
    records = ctx.store.maintenance.all()
    return plan_enter(ctx.site, live, verdict, owner=owner, records=records, force=force)


def enter(
    ctx: Context,
    name: str,
    *,
    owner: str,
    shown: str | None = None,
    force: Force | None = None,
) -> RunResult:
    """Take a host or rack away. ``shown``: the fingerprint of the plan that was confirmed."""
    made = preview_enter(ctx, name, owner=owner, force=force)
    return carry_out(ctx, made, owner=owner, shown=shown)


def preview_exit(ctx: Context, name: str, *, owner: str) -> OperationPlan:
    """Return what bringing a host or rack back means now."""
    records = ctx.store.maintenance.all()
    live = look_at_machines(ctx)
    is_begun = any(r.plan.name == f"{EXIT} {name}" for r in ctx.store.runs.unfinished())
    return plan_exit(ctx.site, live, name, owner=owner, records=records, is_begun=is_begun)


def leave(ctx: Context, name: str, *, owner: str, shown: str | None = None) -> RunResult:
    """Bring a host or rack back; a host that is dead is left without it."""
    made = preview_exit(ctx, name, owner=owner)
    return carry_out(ctx, made, owner=owner, shown=shown)


def read_maintenance(ctx: Context) -> dict[str, Any]:
    """Return which hosts are away by our doing, and how vCenter shows them."""
    live = observe_machines(ctx.hypervisor)
    return {
        "schema": 1,
        "vcenter": {"state": "DOWN" if live.blind else "UP"},
        "hosts": [_as_dict(r, live) for r in ctx.store.maintenance.all()],
    }


def undo_enter(ctx: Context, run: Run) -> OperationPlan:
    """Return the way back of a maintenance that was begun."""
    away = Away.of_facts(run.plan.facts)
    return way_back(ctx.site, _see(ctx), "abort", run.plan.target, away, owner=run.owner)


def undo_exit(ctx: Context, run: Run) -> OperationPlan:
    """Return the steps that take away again what an exit began to bring back."""
    live = _see(ctx)
    away = Away.of_facts(run.plan.facts)
    dead = [h for h in away.hosts if (f := live.inventory.host(h)) is None or not f.connected]
    if dead:
        raise Refused(
            Problem("HOST_NOT_CONNECTED", "vCenter has lost it", dead[0], "resume the exit")
        )
    return way_in_again(ctx.site, live, run.plan.target, away, owner=run.owner)


UNDO = {ENTER: undo_enter, EXIT: undo_exit}


def _see(ctx: Context) -> LiveState:
    live = observe_machines(ctx.hypervisor)
    if live.blind:
        raise Refused(*live.blind)
    return live


def _require_nobody_at_work(ctx: Context, names: Sequence[str]) -> None:
    for name in names:
        holder = ctx.store.at_work_on(name)
        if holder is not None:
            raise Held(
                Problem("REPLICA_HELD", f"{holder} is at work on it", name, "wait for its end")
            )


def _as_dict(record: MaintenanceRecord, live: LiveState) -> dict[str, Any]:
    host = live.inventory.host(record.host)
    return {
        "host": record.host,
        "name": record.name,
        "state": record.state.value,
        "operation": record.operation,
        "owner": record.owner,
        "since": record.at,
        "in_maintenance_mode": None if live.blind or host is None else host.in_maintenance,
        "connected": None if live.blind or host is None else host.connected,
        "replicas": list(record.replicas),
        "moved": [m.partition("=")[0] for m in record.moved],
    }
