"""A registry on disk: content in an OCI layout, names and decisions in a catalogue beside it.

Content comes first and is synced; only then does a catalogue's commit make a version visible. So
whatever is visible is whole, and what a killed command left behind is invisible until `collect`
removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from model_registry.catalogue.clock import utc_now
from model_registry.catalogue.model import Stage, Version, check_name
from model_registry.catalogue.store import Catalogue
from model_registry.digests import DIGEST
from model_registry.errors import RegistryRefused
from model_registry.layout import OciLayout
from model_registry.locking import locked
from model_registry.person import person


@dataclass(frozen=True, slots=True)
class Registry:
    """An opened registry."""

    home: Path
    layout: OciLayout
    catalogue: Catalogue

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        who: str | None = None,
        create: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> Registry:
        """Open the registry at ``home``. Refused where there is none, unless it may be made."""
        path = home / "catalogue.db"
        if not create and not path.is_file():
            raise RegistryRefused(
                "REGISTRY_MISSING",
                f"{home} holds no model registry",
                "`add` or `import` makes one",
            )
        layout = OciLayout.create(home / "oci") if create else OciLayout(home / "oci")
        return cls(home, layout, Catalogue(path, who=who or person(), now=now))

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Hold off the collection of content for a block; others may add meanwhile."""
        with locked(self.home, is_shared=True):
            yield

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Hold off everybody who adds, for a block."""
        with locked(self.home):
            yield

    def resolve(self, reference: str) -> Version:
        """Return what ``name:version``, ``name@stage`` or ``[name@]sha256:…`` stands for."""
        if DIGEST.fullmatch(reference) or "@sha256:" in reference:
            name, _, digest = reference.rpartition("@")
            return self._by_digest(name or None, digest)
        name, at, stage = reference.partition("@")
        if at:
            return self._by_stage(check_name(name), stage)
        name, _, version = reference.rpartition(":")
        if not name:
            raise RegistryRefused(
                "REFERENCE_INVALID",
                f"{reference!r} names no version",
                "write NAME:VERSION, NAME@STAGE or NAME@sha256:…",
            )
        return self.catalogue.version(name, version)

    def _by_digest(self, name: str | None, digest: str) -> Version:
        found = [v for v in self.catalogue.versions(name) if v.digest == digest]
        if not found:
            raise RegistryRefused(
                "VERSION_UNKNOWN",
                f"no version is {digest}",
                "`permafrost model list` shows digests; pull or import it first",
            )
        return found[0]

    def _by_stage(self, name: str, stage: str) -> Version:
        if stage not in (Stage.STAGING, Stage.PRODUCTION):
            raise RegistryRefused(
                "REFERENCE_INVALID",
                f"{stage!r} is no stage that one version holds",
                "write NAME@staging or NAME@production",
            )
        found = self.catalogue.holder(name, Stage(stage))
        if found is None:
            raise RegistryRefused("STAGE_EMPTY", f"no version of {name} is {stage}", "promote one")
        return found
