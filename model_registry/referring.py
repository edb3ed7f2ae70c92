"""Artifacts that refer to a checkpoint (OCI referrers): a small blob and the subject's digest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from model_registry.client import RegistryClient
from model_registry.digests import of_bytes
from model_registry.layout import OciLayout
from model_registry.manifests import subject_of
from model_registry.media_types import EMPTY_CONFIG, IMAGE_MANIFEST, TITLE

EMPTY = b"{}"


def artifact(subject: str, size: int, kind: str, content: bytes, title: str) -> dict[str, Any]:
    """Return the manifest of an artifact that refers to a manifest of ``size`` bytes."""
    return {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": EMPTY_CONFIG, "digest": of_bytes(EMPTY), "size": len(EMPTY)},
        "layers": [
            {
                "mediaType": kind,
                "digest": of_bytes(content),
                "size": len(content),
                "annotations": {TITLE: title},
            }
        ],
        "subject": {"mediaType": IMAGE_MANIFEST, "digest": subject, "size": size},
    }


def attach(layout: OciLayout, subject: str, kind: str, content: bytes, title: str) -> str:
    """Attach bytes of a media type to a manifest of the layout; returns the artifact's digest."""
    for blob in (EMPTY, content):
        layout.add_bytes(blob)
    return layout.add_manifest(artifact(subject, layout.size(subject), kind, content, title))


def attached_in_layout(layout: OciLayout, subject: str, kind: str) -> dict[str, bytes]:
    """Return what of a kind is attached to a manifest, by the artifact's digest, oldest first."""
    found = {}
    for digest in dict.fromkeys(entry.digest for entry in layout.entries()):
        manifest = layout.read_json(digest)
        refers = subject_of(manifest) == subject
        if refers and manifest.get("artifactType") == kind:
            found[digest] = _content(manifest, layout.read)
    return found


def attached_in_registry(
    client: RegistryClient, repository: str, subject: str, kind: str
) -> dict[str, bytes]:
    """Return what of a kind is attached to a manifest of a registry, oldest first."""
    found = {}
    for entry in client.referrers(repository, subject):
        if entry.get("artifactType") == kind:
            manifest = client.manifest(repository, entry["digest"])
            found[entry["digest"]] = _content(manifest, partial(client.blob, repository))
    return found


def _content(manifest: dict[str, Any], read: Callable[[str], bytes]) -> bytes:
    """Return what an artifact holds; nothing where it names nothing: anybody may attach that."""
    layers = manifest.get("layers") or [None]
    digest = layers[0].get("digest") if isinstance(layers[0], dict) else None
    return read(digest) if isinstance(digest, str) else b""
