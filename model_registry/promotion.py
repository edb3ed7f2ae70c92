"""Carrying out a plan between stages: what is promoted is read first, byte by byte."""

from __future__ import annotations

from model_registry.catalogue.chain import Event
from model_registry.catalogue.model import MovePlan, Verb
from model_registry.errors import RegistryRefused
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.signatures import Policy, require_signature, signatures_of
from model_registry.verify import verify

PROMOTE = "promote"


def require_signed(registry: Registry, plan: MovePlan, policy: Policy) -> None:
    """Refuse a promotion that needs a signature by a named key where none holds."""
    if plan.verb is Verb.PROMOTE and PROMOTE in policy.required_for:
        mine = registry.catalogue.version(plan.name, plan.version)
        checked = signatures_of(registry, mine, policy.signers)
        require_signature(policy, PROMOTE, mine.label, checked)


def carry_out(
    registry: Registry,
    plan: MovePlan,
    *,
    why: str,
    policy: Policy | None = None,
    meter: Meter | None = None,
) -> Event:
    """Do what a plan says.

    Refused where it is stale, where what it promotes is not whole, or not signed as it must be.
    """
    require_signed(registry, plan, policy or Policy())
    if plan.verb is Verb.PROMOTE:
        mine = registry.catalogue.version(plan.name, plan.version)
        verdict = verify(registry.layout, mine.digest, meter)
        if not verdict.holds:
            raise RegistryRefused(
                "CHECKPOINT_DAMAGED",
                f"{mine.label} is not whole: {verdict.says()}",
                "add or import the same files again",
            )
    return registry.catalogue.carry_out(plan, why=why)
