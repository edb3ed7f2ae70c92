"""Removal of content that nobody needs any more.

Never taken: what is candidate, staging or production; what anybody pins; the version that held
production last (the way back); the base of an adapter that is kept; what somebody else tagged in
the layout. The catalogue says first that content is gone, then the index, then the bytes go: cut
anywhere, nothing is visible that is not whole.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from model_registry.catalogue.model import Stage, Version
from model_registry.layout import OciLayout
from model_registry.lineage import Method, from_dict
from model_registry.manifests import blobs_of, subject_of
from model_registry.meter import Meter
from model_registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a collection takes: versions whose content goes, blobs, and bytes in all."""

    versions: tuple[Version, ...]
    blobs: tuple[str, ...]
    size: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "versions": [v.label for v in self.versions],
            "blobs": len(self.blobs),
            "bytes": self.size,
        }


def plan_collection(registry: Registry, *, retired: bool = False) -> Sweep:
    """Return what could go: leftovers, and with ``retired`` the content of retired versions."""
    present = [v for v in registry.catalogue.versions() if v.is_present]
    gone = _unneeded(registry, present) if retired else ()
    kept = {v.digest for v in present} - {v.digest for v in gone}
    kept |= {d for pins in registry.catalogue.pins().values() for d in pins.values()}
    ours = {v.label for v in registry.catalogue.versions()}
    kept |= {e.digest for e in registry.layout.entries() if e.tag and e.tag not in ours}
    blobs = registry.layout.stored() - _reachable(registry.layout, kept)
    size = sum(registry.layout.size(blob) for blob in blobs)
    return Sweep(tuple(gone), tuple(sorted(blobs)), size)


def collect(
    registry: Registry, *, retired: bool = False, why: str = "", meter: Meter | None = None
) -> Sweep:
    """Remove what ``plan_collection`` returns, as things are now; returns what was removed.

    ``meter`` is told of the bytes as they are freed.
    """
    meter = meter or Meter()
    with registry.collecting():
        sweep = plan_collection(registry, retired=retired)
        meter.expect(sweep.size)
        if sweep.versions:
            registry.catalogue.collect(sweep.versions, why=why)
        gone = set(sweep.blobs)
        if any(entry.digest in gone for entry in registry.layout.entries()):
            registry.layout.forget(gone)
        for blob in sweep.blobs:
            meter.move(registry.layout.remove_blob(blob))
        parts = registry.layout.remove_parts()
        for version in registry.catalogue.versions():
            if version.is_present:  # an add that was killed before it could name its manifest
                registry.layout.tag(version.digest, version.label)
    return Sweep(sweep.versions, sweep.blobs, sweep.size + parts)


def _unneeded(registry: Registry, present: Collection[Version]) -> tuple[Version, ...]:
    needed = {v.digest for v in present if v.stage is not Stage.RETIRED}
    needed |= {d for pins in registry.catalogue.pins().values() for d in pins.values()}
    needed |= _ways_back(registry)
    lineages = {d: from_dict(doc) for d, doc in registry.catalogue.lineages().items()}
    wanted = list(needed)
    while wanted:
        lineage = lineages.get(wanted.pop())
        if lineage is not None and lineage.method is Method.ADAPTER:
            base = lineage.parents[0].digest
            if base not in needed:
                needed.add(base)
                wanted.append(base)
    return tuple(v for v in present if v.digest not in needed)


def _ways_back(registry: Registry) -> set[str]:
    """Return the digest that each name's production had before its present one."""
    last: dict[str, str] = {}
    for event in registry.catalogue.events():
        for move in event.body.get("moves", ()):
            if move["from"] == Stage.PRODUCTION:
                last[event.body["name"]] = move["digest"]
    return set(last.values())


def _reachable(layout: OciLayout, kept: Collection[str]) -> set[str]:
    """Return all blobs of the kept manifests, and of what refers to one of them."""
    found: set[str] = set()
    entries = {e.digest: layout.read_json(e.digest) for e in layout.entries()}
    wanted = list(kept)
    while wanted:
        digest = wanted.pop()
        if digest in found or not layout.has(digest):
            continue
        found.add(digest)
        document = entries.get(digest) or layout.read_json(digest)
        found.update(blobs_of(document) if "config" in document else ())
        wanted += [child["digest"] for child in document.get("manifests", ())]
        wanted += [other for other, referrer in entries.items() if subject_of(referrer) == digest]
    return found
