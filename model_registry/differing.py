"""How two checkpoints differ: files, what the header says, lineage; and what a move would cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_registry.checkpoint import CheckpointFile, files_of
from model_registry.layout import OciLayout


@dataclass(frozen=True, slots=True)
class Difference:
    """From one checkpoint to another; ``moved`` are the bytes that only the other has."""

    same: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    facts: dict[str, tuple[str, str]]
    moved: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "same": list(self.same),
            "changed": list(self.changed),
            "removed": list(self.removed),
            "added": list(self.added),
            "facts": {key: list(pair) for key, pair in self.facts.items()},
            "bytes_moved": self.moved,
        }


def differ(layout: OciLayout, one: str, other: str) -> Difference:
    """Return how ``other`` differs from ``one``."""
    before, after = _files(layout, one), _files(layout, other)
    both = before.keys() & after.keys()
    changed = {path for path in both if before[path].digest != after[path].digest}
    known = {file.digest for file in before.values()}
    new = {f.digest: f.size for f in after.values() if f.digest not in known}
    return Difference(
        same=tuple(sorted(both - changed)),
        changed=tuple(sorted(changed)),
        removed=tuple(sorted(before.keys() - both)),
        added=tuple(sorted(after.keys() - both)),
        facts=_facts(layout, one, other),
        moved=sum(new.values()),
    )


def _files(layout: OciLayout, digest: str) -> dict[str, CheckpointFile]:
    return {file.path: file for file in files_of(layout.read_json(digest))}


def _facts(layout: OciLayout, one: str, other: str) -> dict[str, tuple[str, str]]:
    before, after = _said(layout, one), _said(layout, other)
    return {
        key: (before.get(key, ""), after.get(key, ""))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }


def _said(layout: OciLayout, digest: str) -> dict[str, str]:
    manifest = layout.read_json(digest)
    model = layout.read_json(manifest["config"]["digest"]).get("config", {})
    return {**manifest.get("annotations", {}), **{k: str(v) for k, v in model.items()}}
