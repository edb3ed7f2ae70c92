"""A registry on a VM of the site: does it answer, and does it hold what the site pins?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, Problem, Refused
from permafrost.facts import CheckpointFacts
from permafrost.planning.deploy import Plan
from permafrost.planning.preflight_model import sized_by_registry
from permafrost.runbook.context import Context
from permafrost.runbook.pins import require_pins
from permafrost.site.model import Site
from permafrost.site.pins import image_repository, images_of
from permafrost.topology import registry_node

ANSWERS_S = 60.0
NOT_FILLED = "REGISTRY_NOT_FILLED"
MISSING = frozenset({"CHECKPOINT_MISSING", "FINGERPRINT_MISSING", "IMAGE_MISSING"})


def pins_fingerprint(site: Site) -> str:
    """Return a digest of everything that the registry must hold, and of who must have signed."""
    signatures = site.registry.signatures
    wanted = {
        "models": sorted(e.model for e in site.inference.values()),
        "images": sorted(pin for _, pin in images_of(site)),
        "signatures": signatures.model_dump(mode="json") if signatures is not None else None,
    }
    return "sha256:" + hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def await_answer(ctx: Context) -> None:
    """Wait until the registry answers the orchestrator; raise why it does not."""
    seen: list[Failed] = []

    def answers() -> bool:
        try:
            ctx.catalog.ping()
        except Failed as error:
            seen[:] = [error]
            return False
        return True

    if not wait_until(answers, clock=ctx.clock, deadline_s=ANSWERS_S, every_s=1):
        raise seen[0]


def unanswered(ctx: Context) -> Failed | None:
    """Return why a registry on a VM of the site does not answer; None where it does.

    Of a registry that is no VM of the site nothing is asked here.
    """
    if registry_node(ctx.site) is None:
        return None
    try:
        ctx.catalog.ping()
    except Failed as error:
        return error
    return None


def settled_by(site: Site, plan: Plan, silent: Failed) -> Plan:
    """Return a plan that makes the registry answer first, with notes that say so.

    What only the registry could tell was not looked at: that is said too.
    Raises ``silent``, why it does not answer, where no step of the plan mends that.
    """
    node = registry_node(site)
    if node is None or not any(step.target == node.name for step in plan.steps):
        raise silent
    notes = [
        f"{node.name} comes first: what the site pins is looked up once it answers, and nothing "
        "is made that pulls from it before all of that is there"
    ]
    if unsized := sized_by_registry(site):
        notes.append(
            f"not checked, for the registry is silent: whether the models of {', '.join(unsized)} "
            "fit their GPUs; `permafrost preflight` checks it once they are pushed"
        )
    return replace(plan, notes=(*plan.notes, *notes))


def require_contents(ctx: Context) -> dict[str, CheckpointFacts]:
    """Return the checkpoints by endpoint; refuse, all at once, what the registry lacks.

    On a VM of the site the first problem is REGISTRY_NOT_FILLED, with how it is filled.
    """
    try:
        return require_pins(ctx)
    except Refused as error:
        node = registry_node(ctx.site)
        missing = [p for p in error.problems if p.code in MISSING]
        if node is None or not missing:
            raise
        raise Refused(_not_filled(ctx.site, node.name, len(missing)), *error.problems) from None


def _not_filled(site: Site, node: str, count: int) -> Problem:
    repositories = sorted({image_repository(pin) for _, pin in images_of(site)})
    return Problem(
        NOT_FILLED,
        f"{node} answers and lacks {count} of what the site pins",
        "registry.node",
        "push checkpoints with `permafrost model push`, images with `skopeo copy "
        f"--preserve-digests … docker://{site.registry.authority}/NAME` "
        f"({', '.join(repositories)}), then run "
        "`permafrost deploy` again (docs/runbook/deploy.md)",
    )
