"""Which bytes served at a moment, where they stand in the registry, and who approved them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_registry.catalogue.clock import parse
from model_registry.catalogue.history import Held, approved_at
from model_registry.registry import Registry
from permafrost.adapters.models import translated
from permafrost.engine.state import StateStore
from permafrost.planning.served import Served, served_at
from permafrost.site.load import LoadedSite


@dataclass(frozen=True, slots=True)
class ServedModel:
    """An endpoint that served a version of a name, and the promotion that allowed it."""

    served: Served
    version: str
    approved: Held | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        approved = self.approved.as_dict() if self.approved else None
        return {**self.served.as_dict(), "version": self.version, "approved": approved}


@translated()
def model_served(
    loaded: LoadedSite, registry: Registry, name: str, at: str
) -> tuple[ServedModel, ...]:
    """Return which endpoints of a site served a version of a name at a moment."""
    if not (loaded.state_dir / "permafrost.db").is_file():
        return ()
    versions = {v.digest: v.version for v in registry.catalogue.versions(name)}
    events, moment = registry.catalogue.events(), parse(at)
    return tuple(
        ServedModel(
            served,
            versions[digest],
            approved_at(events, name, digest, parse(served.since)),
        )
        for served in served_at(StateStore(loaded.state_dir).receipts.documents(), moment)
        for digest in sorted(set(served.replicas.values()))
        if digest in versions
    )
