"""The tree of a checkpoint's ancestors, or of its descendants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_registry.lineage import Lineage, from_dict
from model_registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Relative:
    """One checkpoint of the tree and those next to it; ``labels`` are its versions here."""

    digest: str
    labels: tuple[str, ...]
    outside: str
    lineage: Lineage | None
    next: tuple[Relative, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "digest": self.digest,
            "versions": list(self.labels),
            "outside": self.outside,
            "lineage": self.lineage.as_dict() if self.lineage else None,
            "next": [relative.as_dict() for relative in self.next],
        }


def ancestors(registry: Registry, digest: str) -> Relative:
    """Return a checkpoint with its parents, theirs, and so on."""
    return _tree(registry, digest, is_up=True)


def descendants(registry: Registry, digest: str) -> Relative:
    """Return a checkpoint with what was made from it, and so on."""
    return _tree(registry, digest, is_up=False)


def _tree(registry: Registry, digest: str, *, is_up: bool) -> Relative:
    lineages = {d: from_dict(doc) for d, doc in registry.catalogue.lineages().items()}
    labels: dict[str, list[str]] = {}
    for version in registry.catalogue.versions():
        labels.setdefault(version.digest, []).append(version.label)
    edges = _edges(lineages, is_up=is_up)

    def node(at: str, name: str, path: frozenset[str]) -> Relative:
        onward = [] if at in path else edges.get(at, [])  # a tampered catalogue may hold a ring
        return Relative(
            digest=at,
            labels=tuple(labels.get(at, ())),
            outside="" if at in labels else name or "outside",
            lineage=lineages.get(at),
            next=tuple(node(d, n, path | {at}) for d, n in onward),
        )

    return node(digest, "", frozenset())


def _edges(lineages: Mapping[str, Lineage], *, is_up: bool) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for child, lineage in lineages.items():
        for parent in lineage.parents:
            if is_up:
                found.setdefault(child, []).append((parent.digest, parent.name))
            else:
                found.setdefault(parent.digest, []).append((child, ""))
    return found
