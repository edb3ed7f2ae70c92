"""Remove the whole site: every VM, rule, folder and pool that it has."""

from __future__ import annotations

from typing import Any

from permafrost.engine.state import Phase
from permafrost.errors import Problem, Refused
from permafrost.planning.deploy import Plan, fingerprint_of, plan_destroy
from permafrost.planning.live import LiveState
from permafrost.runbook.context import Context
from permafrost.runbook.operations import operation, operator, site_held


def make_destroy_plan(ctx: Context) -> Plan:
    """Return what goes."""
    return plan_destroy(ctx.site, _see(ctx), ctx.store.placement())


def execute_destroy(ctx: Context, plan: Plan) -> dict[str, Any]:
    """Remove everything, and forget what was known of it."""
    with (
        site_held(ctx, "destroy") as token,
        operation(ctx, "destroy", owner=operator(), fingerprint=plan.fingerprint) as journal,
    ):
        if fingerprint_of(ctx.site, _see(ctx), ctx.store.placement()) != plan.fingerprint:
            raise Refused(
                Problem(
                    "PLAN_STALE",
                    "the site has changed since the plan was made; nothing was done",
                    hint="run it again and look at the new plan",
                )
            )
        stack = ctx.site.control.pulumi_stack
        journal("destroy", stack, Phase.INTENT, plan.as_dict())
        ctx.provisioner.ensure_stack()
        ctx.provisioner.repair()
        ctx.guard()
        ctx.provisioner.destroy(token)
        for node in {*ctx.store.placement(), *ctx.store.declared()}:
            ctx.store.forget(node)
        journal("destroy", stack, Phase.DONE, {})
        receipt = {
            "command": "destroy",
            "fingerprint": plan.fingerprint,
            "changed": len(plan.steps),
            "steps": plan.as_dict()["steps"],
        }
        path = journal.write_receipt(receipt)
    return {"schema": 1, **receipt, "receipt": str(path)}


def _see(ctx: Context) -> LiveState:
    return LiveState(inventory=ctx.hypervisor.observe(), declared=ctx.store.declared())
