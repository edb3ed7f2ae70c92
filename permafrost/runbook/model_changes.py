"""Stages of models, what is removed, and what crosses an air gap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model_registry.adding import Added
from model_registry.bundle import export, import_bundle
from model_registry.catalogue.chain import Event
from model_registry.catalogue.model import MovePlan, Verb
from model_registry.meter import Meter
from model_registry.promotion import carry_out, require_signed
from model_registry.registry import Registry
from model_registry.removing import Sweep, collect, plan_collection
from model_registry.signatures import Policy
from permafrost.adapters.models import translated


@translated()
def plan_stage(registry: Registry, reference: str, verb: Verb, policy: Policy) -> MovePlan:
    """Return what a promotion, demotion or retirement would do."""
    version = registry.resolve(reference)
    plan = registry.catalogue.plan(version.name, version.version, verb)
    require_signed(registry, plan, policy)
    return plan


@translated()
def change_stage(
    registry: Registry, plan: MovePlan, why: str, policy: Policy, meter: Meter | None = None
) -> Event:
    """Do it; Refused when somebody was faster."""
    return carry_out(registry, plan, why=why, policy=policy, meter=meter)


@translated()
def plan_removal(registry: Registry, *, retired: bool) -> Sweep:
    """Return what a collection would take."""
    return plan_collection(registry, retired=retired)


@translated()
def remove_unneeded(
    registry: Registry, *, retired: bool, why: str, meter: Meter | None = None
) -> Sweep:
    """Take it."""
    return collect(registry, retired=retired, why=why, meter=meter)


@translated()
def export_models(
    registry: Registry, references: Sequence[str], target: Path, meter: Meter | None = None
) -> int:
    """Write versions into one file; returns its size."""
    return export(registry, [registry.resolve(r) for r in references], target, meter)


@translated()
def import_models(
    registry: Registry,
    source: Path,
    *,
    allow_unsafe: bool,
    parents_outside: bool,
    why: str,
    meter: Meter | None = None,
) -> tuple[Added, ...]:
    """Take in a file that `export` wrote, verified on the way in."""
    return import_bundle(
        registry,
        source,
        allow_unsafe=allow_unsafe,
        parents_outside=parents_outside,
        why=why,
        meter=meter,
    )
