"""Carrying out a plan between stages: what is promoted is read first, byte by byte."""

from __future__ import annotations

from model_registry.catalogue.chain import Event
from model_registry.catalogue.model import MovePlan, Verb
from model_registry.errors import RegistryRefused
from model_registry.registry import Registry
from model_registry.verify import verify


def carry_out(registry: Registry, plan: MovePlan, *, why: str) -> Event:
    """Do what a plan says. Refused where it is stale, or what it promotes is not whole."""
    if plan.verb is Verb.PROMOTE:
        mine = registry.catalogue.version(plan.name, plan.version)
        verdict = verify(registry.layout, mine.digest)
        if not verdict.holds:
            raise RegistryRefused(
                "CHECKPOINT_DAMAGED",
                f"{mine.label} is not whole: {', '.join(verdict.wrong)}",
                "add or import the same files again",
            )
    return registry.catalogue.carry_out(plan, why=why)
