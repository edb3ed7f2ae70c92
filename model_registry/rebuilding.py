"""Content alone gives a lost catalogue back, as far as it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_registry.adding import Added, register_content
from model_registry.catalogue.model import check_name, check_version
from model_registry.errors import RegistryError
from model_registry.layout import Entry
from model_registry.media_types import MODEL
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.verify import manifest_of, verify


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What the content names and is no version, with the reason."""

    label: str
    digest: str
    why: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"label": self.label, "digest": self.digest, "why": self.why}


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The versions that came back, and what did not."""

    versions: tuple[Added, ...]
    left_out: tuple[LeftOut, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "versions": [added.as_dict() for added in self.versions],
            "left_out": [left.as_dict() for left in self.left_out],
        }


def rebuild(registry: Registry, *, why: str = "", meter: Meter | None = None) -> Rebuilt:
    """Register every checkpoint that the content names and the catalogue does not know.

    Every byte of it is read first: what is not whole is left out, with the reason, and hinders no
    other. Stages are decisions of people and stand in no content: all come back as candidates.
    ``meter`` is told of bytes as they are read.
    """
    meter = meter or Meter()
    added: list[Added] = []
    left_out: list[LeftOut] = []
    with registry.adding():
        known = {(v.digest, v.label) for v in registry.catalogue.versions() if v.is_present}
        for entry in registry.layout.entries():
            if not entry.tag or (entry.digest, entry.tag) in known:
                continue
            try:
                found = _brought_back(registry, entry, why, meter)
            except RegistryError as error:
                left_out.append(LeftOut(entry.tag, entry.digest, f"{error.code}: {error.message}"))
            else:
                added += [found] if found is not None else []
    return Rebuilt(tuple(one for one in added if one.is_new), tuple(left_out))


def _brought_back(registry: Registry, entry: Entry, why: str, meter: Meter) -> Added | None:
    """Register what one name says; None where it is the name of something else."""
    if manifest_of(registry.layout, entry.digest).get("artifactType") != MODEL:
        return None
    name, _, version = entry.tag.rpartition(":")
    check_name(name)
    check_version(version)
    verdict = verify(registry.layout, entry.digest, meter)
    if not verdict.holds:
        raise RegistryError(
            "CHECKPOINT_DAMAGED", verdict.says(), "pull or import it again, then run this again"
        )
    return register_content(registry, name, version, entry.digest, source="rebuild", why=why)
