"""Another checkpoint for an endpoint, back again, and giving up the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from model_registry.errors import RegistryError
from model_registry.lockfile import read_lock
from permafrost.engine.runs import Run
from permafrost.errors import Problem, Refused
from permafrost.planning.force import Force, force_of
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release, release_of
from permafrost.planning.steps import OperationPlan
from permafrost.planning.upgrade import UPGRADE, Wish, plan_upgrade
from permafrost.planning.upgrade_back import (
    RETIRE,
    ROLLBACK,
    plan_retire,
    plan_rollback,
    way_back,
    way_back_by_exchange,
)
from permafrost.planning.upgrade_words import Accept, Strategy
from permafrost.runbook.context import Context
from permafrost.runbook.execution import RunResult, carry_out
from permafrost.runbook.looking import look
from permafrost.runbook.pins import require_candidate
from permafrost.site.lock import LOCK_NAME
from permafrost.site.pins import digest_of
from permafrost.topology import replicas


def preview_upgrade(ctx: Context, endpoint: str, to: str, wish: Wish) -> OperationPlan:
    """Return what giving an endpoint another checkpoint means now; raises Refused as it would."""
    require_endpoint(ctx, endpoint)
    return _preview(ctx, endpoint, candidate(ctx, endpoint, to), wish, UPGRADE)


def _preview(ctx: Context, endpoint: str, model: str, wish: Wish, command: str) -> OperationPlan:
    held = ctx.release(endpoint)
    name = ctx.loaded.pinned(endpoint).partition("@")[0]
    # The registry is asked of both while edges, nodes and vCenter answer.
    with ThreadPoolExecutor(max_workers=2) as pool:
        live = pool.submit(_look_at, ctx, endpoint)
        known = pool.submit(ctx.catalog.resolve, f"{name}@{held.checkpoint}")
        new = require_candidate(ctx, endpoint, model)
        old = known.result()
    return plan_upgrade(
        ctx.site,
        live.result(),
        endpoint,
        old=old,
        new=new,
        wish=wish,
        records=ctx.store.maintenance.all(),
        command=command,
    )


def _look_at(ctx: Context, endpoint: str) -> LiveState:
    """Return what is seen of the site, of its nodes an endpoint's alone: the plan is of them."""
    return look(ctx, replicas(ctx.site, endpoint))


def upgrade(
    ctx: Context, endpoint: str, to: str, wish: Wish, *, shown: str | None = None
) -> RunResult:
    """Give an endpoint another checkpoint. ``shown``: the plan that was confirmed."""
    made = preview_upgrade(ctx, endpoint, to, wish)
    return carry_out(ctx, made, owner=wish.owner, shown=shown)


def preview_rollback(
    ctx: Context, endpoint: str, wish: Wish | None = None, *, force: Force | None = None
) -> OperationPlan:
    """Return what going back means now: a switch where the other slot has it, else an upgrade.

    What clients saw before the upgrade they may see again: nothing of it has to be accepted.
    ``force``: what a switch may waive; an upgrade may wait, and waives nothing.
    """
    require_endpoint(ctx, endpoint)
    held = ctx.release(endpoint)
    if not held.kept and held.previous and wish is not None:
        if force is not None:
            raise Refused(
                Problem(
                    "ROLLBACK_NOT_FORCED",
                    f"slot {held.spare} is empty: going back is an upgrade to {held.previous}",
                    endpoint,
                    "leave --force out: only the switch to a slot that is loaded has levels",
                )
            )
        meant = frozenset({Accept.CONTEXT, Accept.TOKENIZER, Accept.CONTRACT})
        wish = replace(wish, accepted=wish.accepted | meant)
        return _preview(ctx, endpoint, candidate(ctx, endpoint, held.previous), wish, ROLLBACK)
    return plan_rollback(
        ctx.site,
        _look_at(ctx, endpoint),
        endpoint,
        records=ctx.store.maintenance.all(),
        force=force,
        begun=_begun_switch(ctx, endpoint),
    )


def _begun_switch(ctx: Context, endpoint: str) -> Mapping[str, Any] | None:
    """Return the facts of a switch back that waits for its end."""
    waiting = (run for run in ctx.store.runs.unfinished() if not run.back)
    name = f"{ROLLBACK} {endpoint}"
    facts = (run.plan.facts for run in waiting if run.plan.name == name)
    return next((f for f in facts if "strategy" not in f), None)


def rollback(
    ctx: Context,
    endpoint: str,
    *,
    owner: str,
    wish: Wish | None = None,
    force: Force | None = None,
    shown: str | None = None,
) -> RunResult:
    """Give an endpoint back the checkpoint that answered before; ``force``: as of its preview."""
    made = preview_rollback(ctx, endpoint, wish or Wish(owner), force=force)
    return carry_out(ctx, made, owner=owner, shown=shown)


def preview_retire(ctx: Context, endpoint: str) -> OperationPlan:
    """Return what giving up the way back means now."""
    require_endpoint(ctx, endpoint)
    return plan_retire(ctx.site, _look_at(ctx, endpoint), endpoint)


def retire(ctx: Context, endpoint: str, *, owner: str, shown: str | None = None) -> RunResult:
    """Empty the slot that does not answer."""
    made = preview_retire(ctx, endpoint)
    return carry_out(ctx, made, owner=owner, shown=shown)


def candidate(ctx: Context, endpoint: str, to: str) -> str:
    """Return ``name@sha256:…`` for a digest, a pinned name, or a stage that the lock knows."""
    name = ctx.loaded.pinned(endpoint).partition("@")[0]
    asked_name, _, rest = to.rpartition("@")
    if asked_name and asked_name.removeprefix("checkpoints/") != name.removeprefix("checkpoints/"):
        raise Refused(
            Problem(
                "UPGRADE_OTHER_NAME",
                f"{endpoint} serves versions of {name}, this is one of {asked_name}",
                endpoint,
                "push it as a version of that name, or change the site file and deploy",
            )
        )
    if rest.startswith("sha256:"):
        return f"{name}@{rest}"
    path = ctx.loaded.path.parent / LOCK_NAME
    reference = f"{name.removeprefix('checkpoints/')}@{rest}"
    try:
        locked = read_lock(path)
    except RegistryError as error:
        hint = error.hint or "`permafrost model lock --update` writes it anew"
        raise Refused(Problem(error.code, error.message, hint=hint)) from None
    if reference not in locked:
        raise Refused(
            Problem(
                "LOCK_WITHOUT_MODEL",
                f"{path} does not say what {reference} is",
                endpoint,
                "name the checkpoint by its digest, or `permafrost model lock --update`",
            )
        )
    return f"{name}@{locked[reference].digest}"


def require_endpoint(ctx: Context, endpoint: str) -> None:
    """Raise Refused when the site has no such endpoint."""
    if endpoint not in ctx.site.inference:
        known = ", ".join(sorted(ctx.site.inference))
        raise Refused(
            Problem(
                "ENDPOINT_UNKNOWN", "the site has no such endpoint", endpoint, f"it has: {known}"
            )
        )


def undo(ctx: Context, run: Run) -> OperationPlan:
    """Return the way back to what held before an operation, from what is seen now."""
    name = run.plan.target
    live = _look_at(ctx, name)
    before: Release = release_of(
        name, digest_of(ctx.loaded.pinned(name)), dict(run.plan.facts["before"])
    )
    strategy = run.plan.facts.get("strategy")
    if strategy in (Strategy.CUT_OVER, Strategy.ROLLING):
        mixed = strategy == Strategy.ROLLING
        return way_back_by_exchange(
            ctx.site, live, before, run.plan.name, owner=run.owner, mixed=mixed
        )
    force = force_of(run.plan.facts.get("force"))
    return way_back(ctx.site, live, before, run.plan.name, force=force)


UNDO: dict[str, Callable[[Context, Run], OperationPlan]] = {
    UPGRADE: undo,
    ROLLBACK: undo,
    RETIRE: undo,
}
