"""Make the site what its file says: observe, plan, (shown and confirmed elsewhere), execute.

Pulumi makes the VMs; its resources configure and admit the nodes, its hooks drain replicas
before their VM changes. What is left to this runbook is the order around it: placement is
recorded first, VMs that are off are powered on, replicas that an interrupted run left away are
admitted, and in the end everything is looked at again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from permafrost import pki
from permafrost.engine.state import Phase
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.planning.addresses import moved_addresses
from permafrost.planning.deploy import BRING_HOME, Plan, Step, fingerprint_of, plan_deploy
from permafrost.planning.drift_report import blocks_deploy, needs_refresh, unfinished
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.planning.lifecycle import ReplicaState
from permafrost.planning.live import LiveState
from permafrost.planning.lookup import node_named
from permafrost.planning.member_drain import drained_members
from permafrost.planning.ownership import attributes_of, category_name, tag_name
from permafrost.planning.placement import plan_placement
from permafrost.planning.preflight import plan_preflight
from permafrost.planning.status import SiteStatus, site_status
from permafrost.planning.unsupported import unsupported
from permafrost.runbook.admit import admit_replica
from permafrost.runbook.clients import tell_edges
from permafrost.runbook.context import Context
from permafrost.runbook.drift import drift_of, record_baseline, refuse
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.founding import record_founded
from permafrost.runbook.knowledge import as_problem, read_knowledge
from permafrost.runbook.knowledge_admission import admit_members
from permafrost.runbook.knowledge_home import come_home, with_homecoming
from permafrost.runbook.looking import look
from permafrost.runbook.operations import operation, site_held
from permafrost.runbook.preflight import nodes_to_start, refuse_unready
from permafrost.runbook.registry_contents import (
    NOT_FILLED,
    require_contents,
    settled_by,
    unanswered,
)
from permafrost.runbook.slots import tell_slots
from permafrost.runbook.unfinished import require_undisturbed, with_unfinished
from permafrost.topology import Tier, nodes

POWER_ON_S = 120.0
VERIFY_S = 120.0
OWNER = "deploy"


def make_plan(ctx: Context) -> Plan:
    """Return what a deployment would do now; Refused when it cannot be done.

    What is not built yet is placed and shown, without Pulumi's part (``require_supported``).
    """
    try:
        return _planned(ctx)
    except Refused as refusal:
        raise with_unfinished(ctx, refusal) from None


def _planned(ctx: Context) -> Plan:
    if problems := pki.owners_problems(ctx.loaded):
        raise Refused(*problems)
    silent = unanswered(ctx)
    checkpoints = {} if silent else require_contents(ctx)
    is_supported = not unsupported(ctx.site)
    if is_supported:
        ctx.provisioner.ensure_stack()
    live = look(ctx)
    if live.blind:
        raise Failed(*live.blind)
    if moved := moved_addresses(ctx.site, live.inventory.vms):
        raise Refused(*moved)
    recorded = ctx.store.placement()
    drift = drift_of(ctx, live, with_tags=True)
    refuse(blocks_deploy(drift))
    inventory = live.inventory
    placement = plan_placement(ctx.site, inventory.hosts, recorded, inventory.vms)
    changes = ctx.provisioner.preview(refresh=needs_refresh(drift)) if is_supported else ()
    plan = plan_deploy(
        ctx.site,
        live,
        recorded=recorded,
        placement=placement,
        changes=changes,
        drift=drift,
        kept_off={name for record in ctx.store.maintenance.all() for name in record.powered},
    )
    if silent is not None:
        plan = settled_by(ctx.site, plan, silent)
    if is_supported:
        plan = replace(plan, notes=(*plan.notes, *admit_members(ctx, plan, live)))
        plan = with_homecoming(ctx, plan)
    starting = nodes_to_start(plan, live)
    refuse_unready(
        plan_preflight(
            ctx.site,
            live.inventory.without(unfinished(drift)),
            placement,
            checkpoints=checkpoints,
            changes=changes,
            starting=starting,
            # Whoever does not touch the tier is not held up by a store that is away.
            object_store=ctx.object_store() if _touches_members(ctx, plan) else (),
        )
    )
    return plan


def _touches_members(ctx: Context, plan: Plan) -> bool:
    names = {n.name for n in nodes(ctx.site) if n.tier is Tier.KNOWLEDGE}
    return any(step.target in names for step in plan.steps)


def require_supported(plan: Plan) -> None:
    """Raise Refused, listing it all, when the site asks for what is not built yet."""
    if plan.unsupported:
        raise Refused(*plan.unsupported)


def execute(ctx: Context, plan: Plan) -> dict[str, Any]:
    """Do what the plan says and verify; return the receipt."""
    require_supported(plan)
    with (
        site_held(ctx, "deploy") as token,
        operation(
            ctx, "deploy", owner=OWNER, fingerprint=plan.fingerprint, detail=plan.as_dict()
        ) as journal,
    ):
        _require_fresh(ctx, plan)
        require_undisturbed(ctx, plan)
        if plan.of_kind("place"):
            _journalled(journal, "place", ctx.site.site, lambda: _place(ctx, plan))
        first = [s for s in plan.of_kind("power-on") if _is_needed(ctx, plan, s.target)]
        for step in first:
            _power_on(ctx, journal, step)
        if plan.is_pulumis:
            ctx.guard()
            _journalled(
                journal, "up", ctx.site.control.pulumi_stack, lambda: _up(ctx, token, plan)
            )
        for step in plan.of_kind("mark"):
            ctx.guard()
            _journalled(journal, step.kind, step.target, lambda vm=step.target: _mark(ctx, vm))
        for step in plan.of_kind("power-on"):
            if step not in first:
                _power_on(ctx, journal, step)
        for step in (*plan.of_kind("power-on"), *plan.of_kind("admit")):
            if node_named(ctx.site, step.target).endpoint:
                admit_replica(ctx, step.target, owner=OWNER)
        # An edge that was made anew, or answers again, is told whom to keep away.
        reassert_drains(ctx)
        tell_edges(ctx)
        tell_slots(ctx)
        done: list[str] = []
        for step in plan.of_kind(BRING_HOME):
            ctx.guard()
            _journalled(journal, step.kind, step.target, lambda: done.extend(come_home(ctx)))
        status = _verify(ctx)
        if ctx.site.knowledge is not None:
            record_founded(ctx)
        record_baseline(ctx)
        receipt = {
            "command": "deploy",
            "fingerprint": plan.fingerprint,
            "changed": len(plan.steps),
            "steps": plan.as_dict()["steps"],
            "notes": [*plan.notes, *done],
            "healthy": status.is_healthy,
            "status": status.as_dict(),
        }
        path = journal.write_receipt(receipt)
    return {"schema": 1, **receipt, "receipt": str(path)}


def _require_fresh(ctx: Context, plan: Plan) -> None:
    live = LiveState(inventory=ctx.hypervisor.observe(), declared=ctx.store.declared())
    if fingerprint_of(ctx.site, live, ctx.store.placement()) != plan.fingerprint:
        raise Refused(
            Problem(
                "PLAN_STALE",
                "the site has changed since the plan was made; nothing was done",
                hint="run it again and look at the new plan",
            )
        )


def _journalled(journal: Any, kind: str, target: str, work: Any) -> None:
    journal(kind, target, Phase.INTENT, {})
    try:
        work()
    except PermafrostError as error:
        journal(kind, target, Phase.FAILED, {"error": error.code})
        raise
    journal(kind, target, Phase.DONE, {})


def _is_needed(ctx: Context, plan: Plan, name: str) -> bool:
    """Whether Pulumi's part needs it on: it is configured, or waited for, or pulled from."""
    is_configured = any(s.target == name for s in plan.of_kind("converge"))
    return is_configured or node_named(ctx.site, name).tier in (Tier.REGISTRY, Tier.KNOWLEDGE)


def _power_on(ctx: Context, journal: Any, step: Step) -> None:
    ctx.guard()
    _journalled(
        journal,
        step.kind,
        step.target,
        lambda: ctx.hypervisor.power_on(step.target, deadline_s=POWER_ON_S),
    )


def _place(ctx: Context, plan: Plan) -> None:
    ctx.store.record_placement(plan.placement)


def _mark(ctx: Context, name: str) -> None:
    node = node_named(ctx.site, name)
    ctx.hypervisor.mark(
        name,
        category=category_name(ctx.site),
        tag=tag_name(ctx.site, node),
        attributes=attributes_of(ctx.site, node),
    )


def _up(ctx: Context, token: str, plan: Plan) -> None:
    ctx.provisioner.repair()
    try:
        ctx.provisioner.up(token, refresh=plan.refreshes)
    except PermafrostError as error:
        if any(p.code == NOT_FILLED for p in error.problems):
            raise _whole(ctx, error) from None
        raise


def _whole(ctx: Context, error: PermafrostError) -> PermafrostError:
    """Return all that the registry lacks: of what a resource said, Pulumi passes on a line."""
    try:
        require_contents(ctx)
    except Refused as whole:
        return Failed(*whole.problems)
    return error


def _verify(ctx: Context) -> SiteStatus:
    """Wait until everything serves, but for what a person drained; raise Failed otherwise."""
    seen: list[SiteStatus] = []

    def is_well() -> bool:
        live = look(ctx)
        known = _known(ctx)
        seen[:] = [site_status(ctx.site, live, knowledge=known)]
        return not _missing(ctx, live, known)

    if not wait_until(is_well, clock=ctx.clock, deadline_s=VERIFY_S, every_s=2):
        raise Failed(*_missing(ctx, look(ctx), _known(ctx)))
    return seen[0]


def _known(ctx: Context) -> KnowledgeStatus | None:
    if ctx.site.knowledge is None:
        return None
    return read_knowledge(ctx, away=drained_members(ctx.site, ctx.store.declared()))


def _missing(ctx: Context, live: LiveState, known: KnowledgeStatus | None) -> list[Problem]:
    problems = [as_problem(*p) for p in known.problems] if known is not None else []
    for node in nodes(ctx.site):
        if node.tier is Tier.KNOWLEDGE:
            continue
        if node.tier is Tier.REGISTRY:
            silent = unanswered(ctx)
            problems += silent.problems if silent is not None else ()
            continue
        if not node.endpoint:
            if node.name not in live.traffic.edges():
                reason = live.traffic.unreachable.get(node.name, "it has no backends")
                hint = f"`permafrost converge {node.name}`; there, `journalctl -u haproxy`"
                problems.append(Problem("EDGE_NOT_SERVING", reason, node.name, hint))
            continue
        declared = live.declared.get(node.name)
        if declared is not None and declared.is_away and not declared.is_automatic:
            continue
        state, reason = live.state_of(node)
        if state is not ReplicaState.ADMITTED:
            text = f"is {state.value}" + (f": {reason}" if reason else "")
            problems.append(
                Problem(
                    "REPLICA_NOT_ADMITTED",
                    text,
                    node.name,
                    "`permafrost status` shows it; run `permafrost deploy` again once mended",
                )
            )
    return problems
