"""The shape of a manifest, which may come from anybody: read strictly, with one clear error.

OCI image manifest, by https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_registry.digests import DIGEST
from model_registry.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Described:
    """What a manifest says of one blob; ``size`` in bytes."""

    digest: str
    size: int
    media_type: str
    annotations: Mapping[str, str]


def config_of(manifest: Mapping[str, Any]) -> Described:
    """Return the description of a manifest's config. Raises MANIFEST_INVALID."""
    return _described(manifest.get("config"), "config")


def layers_of(manifest: Mapping[str, Any]) -> tuple[Described, ...]:
    """Return the descriptions of a manifest's layers. Raises MANIFEST_INVALID."""
    return tuple(_described(layer, f"layer {n}") for n, layer in enumerate(_list(manifest)))


def blobs_of(manifest: Mapping[str, Any]) -> list[str]:
    """Return the digests of all blobs that a manifest needs. Raises MANIFEST_INVALID.

    Sizes do not matter here: what others tagged in a layout is kept, however they wrote it.
    """
    config = _digest(_object(manifest.get("config"), "config"), "config")
    named = enumerate(_list(manifest))
    return [config, *(_digest(_object(one, f"layer {n}"), f"layer {n}") for n, one in named)]


def annotations_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return annotations; those of no text are left out."""
    found = document.get("annotations")
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in found.items() if isinstance(value, str)}


def subject_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of what a manifest refers to, empty where it refers to nothing."""
    subject = manifest.get("subject")
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return digest if isinstance(digest, str) and DIGEST.fullmatch(digest) else ""


def invalid(why: str) -> RegistryError:
    """Return the error about a manifest of another shape."""
    return RegistryError("MANIFEST_INVALID", why, "whoever wrote it made no OCI manifest of it")


def _described(given: Any, what: str) -> Described:
    described = _object(given, what)
    digest, size = _digest(described, what), described.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise invalid(f"{what} has the size {str(size)[:20]!r}")
    return Described(digest, size, str(given.get("mediaType", "")), annotations_of(given))


def _list(manifest: Mapping[str, Any]) -> list[Any]:
    layers = manifest.get("layers")
    if not isinstance(layers, list):
        raise invalid("layers is no list")
    return layers


def _object(given: Any, what: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise invalid(f"{what} is no description of a blob")
    return given


def _digest(described: Mapping[str, Any], what: str) -> str:
    digest = described.get("digest")
    if not isinstance(digest, str) or DIGEST.fullmatch(digest) is None:
        raise invalid(f"{what} has the digest {str(digest)[:80]!r}")
    return digest
