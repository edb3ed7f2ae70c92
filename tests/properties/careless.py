"""Make a plan's effects and nothing else: no look, no gate, no wait. For negative controls."""

from __future__ import annotations

from collections.abc import Iterable

from permafrost.engine.releases import record_release
from permafrost.facts import ServerState
from permafrost.planning.slot_steps import release_of_arguments
from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from permafrost.runbook.slots import routes

DRAIN = "set-edges-to-drain"
TELLS = ("cut-over", "set-share")


def carry_out(ctx: Context, steps: Iterable[OperationStep]) -> None:
    """Make each step's effect at once, in the order given."""
    for step in steps:
        _effect(ctx, step)
        ctx.clock.sleep(5)


def _effect(ctx: Context, step: OperationStep) -> None:
    told, target = step.arguments, step.target
    if step.kind in (*TELLS, "record-release"):
        made = release_of_arguments(target, told)
        if step.kind == "record-release":
            record_release(ctx.store, made)
        ctx.traffic.set_routes(routes(ctx, made))
        record_release(ctx.store, made)
    elif step.kind == DRAIN:
        ctx.traffic.set_state(target, ServerState.DRAIN)
    elif step.kind == "set-edges-to-let-in":
        ctx.traffic.set_state(target, ServerState.READY)
    elif step.kind == "load-slot":
        ctx.models.load(target, told["slot"], told["checkpoint"])
    elif step.kind == "exchange-slot":
        ctx.models.exchange(target, told["slot"], told["checkpoint"])
    elif step.kind == "unload-slot":
        ctx.models.unload(target, told["slot"])
    elif step.kind == "prove-slot":
        ctx.models.probe(target, told["slot"])
