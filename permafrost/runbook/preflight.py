"""Look before power-on: what would stop a VM, and what the site could not hold."""

from __future__ import annotations

from permafrost.engine.observe import observe_machines
from permafrost.errors import Failed, Refused
from permafrost.facts import CheckpointFacts
from permafrost.planning.deploy import Plan
from permafrost.planning.live import LiveState
from permafrost.planning.placement import plan_placement
from permafrost.planning.preflight import plan_preflight
from permafrost.planning.preflight_report import PreflightReport
from permafrost.runbook.context import Context
from permafrost.topology import registry_node


def read_preflight(ctx: Context) -> PreflightReport:
    """Return every check of the site, as if each of its VMs were powered on now."""
    live = observe_machines(ctx.hypervisor)
    if live.blind:
        raise Failed(*live.blind)
    placement = plan_placement(ctx.site, live.inventory.hosts, ctx.store.placement())
    checkpoints: dict[str, CheckpointFacts] = {}
    for name, endpoint in sorted(ctx.site.inference.items()):
        try:
            checkpoints[name] = ctx.catalog.resolve(endpoint.model)
        except Refused:
            continue  # what the registry lacks, `plan` refuses with its own code; here it is said
        except Failed:
            if registry_node(ctx.site) is None:
                raise
            break  # it is a VM of the site, which may be to come; what it would tell is said
    ctx.provisioner.ensure_stack()
    return plan_preflight(
        ctx.site,
        live.inventory,
        placement,
        checkpoints=checkpoints,
        changes=ctx.provisioner.preview(),
        object_store=ctx.object_store(),
    )


def nodes_to_start(plan: Plan, live: LiveState) -> frozenset[str]:
    """Return the nodes whose VM the plan powers on: made, changed, or off."""
    kinds = ("create-vm", "update-vm", "replace-vm", "power-on")
    named = {s.target for s in plan.steps if s.kind in kinds}
    return frozenset(named | {n for n in plan.placement if live.inventory.vm(n) is None})


def refuse_unready(report: PreflightReport) -> None:
    """Raise Refused with every problem of a report."""
    if problems := report.problems:
        raise Refused(*(p.as_problem() for p in problems))
