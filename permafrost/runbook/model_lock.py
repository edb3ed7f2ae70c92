"""`models.lock`, beside the site file: which bytes production meant when it was last agreed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_registry.catalogue.model import Stage
from model_registry.lockfile import (
    Locked,
    Step,
    difference,
    read_lock,
    resolve_lock,
    write_lock,
)
from model_registry.registry import Registry
from model_registry.signatures import require_signature, signatures_of
from permafrost.adapters.models import policy_of, translated
from permafrost.runbook.pins import DEPLOY
from permafrost.site.load import LoadedSite
from permafrost.site.lock import LOCK_NAME
from permafrost.site.pins import digest_of


@dataclass(frozen=True, slots=True)
class LockPlan:
    """How the lock would change, and which endpoints pin something else than it would say."""

    path: Path
    wanted: dict[str, Locked]
    steps: tuple[Step, ...]
    apart: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "lock": str(self.path),
            "steps": [
                {
                    "reference": s.reference,
                    "before": s.before.digest if s.before else None,
                    "after": s.after.digest if s.after else None,
                }
                for s in self.steps
            ],
            "apart": self.apart,
        }


@translated()
def plan_lock(registry: Registry, loaded: LoadedSite) -> LockPlan:
    """Return how the lock differs from what the catalogue says now."""
    path = loaded.path.parent / LOCK_NAME
    pinned = _pinned(registry, loaded)
    wanted = resolve_lock(registry, [*loaded.references.values(), *pinned.values()])
    apart = {
        name: loaded.site.inference[name].model
        for name, reference in pinned.items()
        if digest_of(loaded.site.inference[name].model) != wanted[reference].digest
    }
    return LockPlan(path, wanted, difference(read_lock(path), wanted), apart)


@translated()
def update_lock(registry: Registry, loaded: LoadedSite, plan: LockPlan, why: str) -> None:
    """Write the lock; what it names stays in the registry from now on.

    Refused where the site demands a signature of what it deploys, and one is not signed so.
    """
    policy = policy_of(loaded)
    if DEPLOY in policy.required_for:
        for reference, locked in plan.wanted.items():
            version = registry.resolve(locked.digest)
            checked = signatures_of(registry, version, policy.signers)
            require_signature(policy, DEPLOY, f"{reference} ({version.label})", checked)
    owner = f"site:{loaded.site.site}"
    write_lock(registry, plan.path, plan.wanted, owner=owner, why=why)


def _pinned(registry: Registry, loaded: LoadedSite) -> dict[str, str]:
    """Return as references those endpoints that pin a digest, where their name has production.

    Where no endpoint names a stage, all are asked for: one without production is then told.
    """
    found = {}
    for name, endpoint in sorted(loaded.site.inference.items()):
        if name not in loaded.references:
            model = _name(endpoint.model)
            if not loaded.references or registry.catalogue.holder(model, Stage.PRODUCTION):
                found[name] = f"{model}@{Stage.PRODUCTION.value}"
    return found


def _name(pinned: str) -> str:
    return pinned.partition("@")[0].removeprefix("checkpoints/")
