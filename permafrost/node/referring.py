"""What refers to a manifest: the fingerprints of a checkpoint, and signatures of those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .documents import json_object, objects_in
from .errors import NodeError
from .settings import DIGEST

FINGERPRINT = "application/vnd.permafrost.fingerprint.v1+json"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_CODE = "REGISTRY_ANSWER_INVALID"
_HINT = "does registry.url name the registry, or a page or proxy before it?"


@dataclass(frozen=True)
class Attached:
    """What an artifact holds, and the digest of the artifact, to which others may refer."""

    artifact: str
    content: bytes


def listed(answer: bytes, what: str) -> list[dict[str, Any]]:
    """Return the descriptors of an index that a registry answered. Raises NodeError."""
    found = objects_in(json_object(answer, _CODE, what, _HINT), "manifests")
    if found is None:
        raise NodeError(_CODE, f"{what} is no index", _HINT)
    return found


def first_layer(manifest: bytes) -> str:
    """Return the digest of what an artifact holds, empty where it holds nothing.

    Anybody may attach an artifact that holds nothing or is of an odd form: it hinders nobody.
    """
    try:
        layers = objects_in(json_object(manifest, _CODE, "the artifact"), "layers")
    except NodeError:
        return ""
    return digest_in(layers[0]) if layers else ""


def digest_in(described: dict[str, Any]) -> str:
    """Return a descriptor's digest, empty where it has none of the form that is used here."""
    told = described.get("digest")
    return told if isinstance(told, str) and DIGEST.fullmatch(told) else ""
