"""The registry: it has every checkpoint and image but those that are missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from permafrost.errors import Failed, Problem, Refused
from permafrost.facts import CheckpointFacts
from permafrost.planning.gpu_memory import Architecture
from tests.fakes.world import AS_THE_ADAPTER


@dataclass
class FakeCatalog:
    missing: frozenset[str] = frozenset()
    without_fingerprint: frozenset[str] = frozenset()
    architecture: Architecture | None = field(default_factory=lambda: Architecture(30, 3, 64))
    signatures: int = 0
    signed_by: tuple[str, ...] = ()
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For a digest: what its facts say in another way."""
    unreachable: Callable[[], bool] = lambda: False

    def ping(self) -> None:
        if self.unreachable():
            raise Failed(
                Problem(
                    "REGISTRY_UNREACHABLE", "it does not answer", "registry.url", AS_THE_ADAPTER
                )
            )

    def resolve(self, pinned: str) -> CheckpointFacts:
        self.ping()
        name, _, digest = pinned.partition("@")
        if pinned in self.missing:
            raise Refused(
                Problem("CHECKPOINT_MISSING", f"the registry has no {pinned}", hint=AS_THE_ADAPTER)
            )
        facts = CheckpointFacts(
            name,
            digest,
            3,
            1000,
            pinned not in self.without_fingerprint,
            self.architecture,
            self.signatures,
            self.signed_by,
        )
        return replace(facts, **self.told.get(digest, {}))

    def has_image(self, pinned: str) -> bool:
        self.ping()
        return pinned not in self.missing
