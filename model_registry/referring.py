"""Artifacts that refer to a checkpoint (OCI referrers): a small blob and the subject's digest."""

from __future__ import annotations

from model_registry.client import RegistryClient
from model_registry.layout import OciLayout
from model_registry.media_types import EMPTY_CONFIG, IMAGE_MANIFEST, TITLE

_EMPTY = b"{}"


def attach(layout: OciLayout, subject: str, kind: str, content: bytes, title: str) -> str:
    """Attach bytes of a media type to a manifest of the layout; returns the artifact's digest."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": kind,
        "config": {
            "mediaType": EMPTY_CONFIG,
            "digest": layout.add_bytes(_EMPTY),
            "size": len(_EMPTY),
        },
        "layers": [
            {
                "mediaType": kind,
                "digest": layout.add_bytes(content),
                "size": len(content),
                "annotations": {TITLE: title},
            }
        ],
        "subject": {
            "mediaType": IMAGE_MANIFEST,
            "digest": subject,
            "size": layout.size(subject),
        },
    }
    return layout.add_manifest(manifest)


def attached_in_layout(layout: OciLayout, subject: str, kind: str) -> dict[str, bytes]:
    """Return what of a kind is attached to a manifest, by the artifact's digest, oldest first."""
    found = {}
    for digest in dict.fromkeys(entry.digest for entry in layout.entries()):
        manifest = layout.read_json(digest)
        refers = manifest.get("subject", {}).get("digest") == subject
        if refers and manifest.get("artifactType") == kind:
            found[digest] = layout.read(manifest["layers"][0]["digest"])
    return found


def attached_in_registry(
    client: RegistryClient, repository: str, subject: str, kind: str
) -> dict[str, bytes]:
    """Return what of a kind is attached to a manifest of a registry, oldest first."""
    found = {}
    for entry in client.referrers(repository, subject):
        if entry.get("artifactType") == kind:
            manifest = client.manifest(repository, entry["digest"])
            found[entry["digest"]] = client.blob(repository, manifest["layers"][0]["digest"])
    return found
