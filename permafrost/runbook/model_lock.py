"""`models.lock`, beside the site file: which bytes production meant when it was last agreed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_registry.lockfile import (
    Locked,
    Step,
    difference,
    read_lock,
    resolve_lock,
    write_lock,
)
from model_registry.registry import Registry
from permafrost.adapters.models import translated
from permafrost.site.load import LoadedSite
from permafrost.site.pins import digest_of

FILE_NAME = "models.lock"
STAGE = "production"


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
    path = loaded.path.parent / FILE_NAME
    references = {
        name: f"{_name(endpoint.model)}@{STAGE}"
        for name, endpoint in loaded.site.inference.items()
    }
    wanted = resolve_lock(registry, references.values())
    apart = {
        name: loaded.site.inference[name].model
        for name, reference in sorted(references.items())
        if digest_of(loaded.site.inference[name].model) != wanted[reference].digest
    }
    return LockPlan(path, wanted, difference(read_lock(path), wanted), apart)


@translated()
def update_lock(registry: Registry, loaded: LoadedSite, plan: LockPlan, why: str) -> None:
    """Write the lock; what it names stays in the registry from now on."""
    owner = f"site:{loaded.site.site}"
    write_lock(registry, plan.path, plan.wanted, owner=owner, why=why)


def _name(pinned: str) -> str:
    return pinned.partition("@")[0].removeprefix("checkpoints/")
