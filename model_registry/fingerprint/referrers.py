"""Fingerprints beside their checkpoint: OCI referrers of its manifest."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from model_registry.client import RegistryClient
from model_registry.digests import canonical_json, of_bytes
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.media_types import EMPTY_CONFIG, FINGERPRINT, IMAGE_MANIFEST, TITLE

_EMPTY = b"{}"


def attach(layout: OciLayout, checkpoint: str, fingerprint: Mapping[str, Any]) -> str:
    """Attach a fingerprint to a checkpoint of the layout; returns the artifact's digest."""
    content, manifest = _artifact(checkpoint, layout.size(checkpoint), fingerprint)
    layout.add_bytes(_EMPTY)
    layout.add_bytes(content)
    return layout.add_manifest(manifest)


def push(
    client: RegistryClient, repository: str, checkpoint: str, fingerprint: Mapping[str, Any]
) -> str:
    """Attach a fingerprint to a checkpoint of a registry; returns the artifact's digest.

    What it consists of comes first: nobody finds a fingerprint that is not whole.
    """
    size = len(client.manifest_bytes(repository, checkpoint))
    content, manifest = _artifact(checkpoint, size, fingerprint)
    for blob in (_EMPTY, content):
        client.upload(repository, of_bytes(blob), io.BytesIO(blob), len(blob))
    return client.put_manifest(repository, canonical_json(manifest))


def _artifact(
    checkpoint: str, size: int, fingerprint: Mapping[str, Any]
) -> tuple[bytes, dict[str, Any]]:
    if fingerprint.get("checkpoint") != checkpoint:
        raise RegistryError(
            "FINGERPRINT_OF_ANOTHER", f"the fingerprint is of {fingerprint.get('checkpoint')}"
        )
    content = canonical_json(dict(fingerprint))
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": FINGERPRINT,
        "config": {
            "mediaType": EMPTY_CONFIG,
            "digest": of_bytes(_EMPTY),
            "size": len(_EMPTY),
        },
        "layers": [
            {
                "mediaType": FINGERPRINT,
                "digest": of_bytes(content),
                "size": len(content),
                "annotations": {TITLE: "fingerprint.json"},
            }
        ],
        "subject": {"mediaType": IMAGE_MANIFEST, "digest": checkpoint, "size": size},
    }
    return content, manifest


def find_fingerprint(client: RegistryClient, repository: str, digest: str) -> dict[str, Any]:
    """Return the newest fingerprint of a checkpoint in a registry. Raises RegistryError."""
    return _newest(all_in_registry(client, repository, digest), f"{repository}@{digest}")


def find_in_layout(layout: OciLayout, digest: str) -> dict[str, Any]:
    """Return the newest fingerprint of a checkpoint in a layout. Raises RegistryError."""
    return _newest(all_in_layout(layout, digest), f"{layout.path}: {digest}")


def all_in_registry(
    client: RegistryClient, repository: str, digest: str
) -> tuple[dict[str, Any], ...]:
    """Return every fingerprint of a checkpoint in a registry, the oldest first."""
    found = []
    for entry in client.referrers(repository, digest):
        if entry.get("artifactType") == FINGERPRINT:
            manifest = client.manifest(repository, entry["digest"])
            if not manifest.get("layers"):
                continue  # anybody may attach an artifact that holds nothing
            content = client.blob(repository, manifest["layers"][0]["digest"])
            found.append(_checked(content, digest))
    return tuple(found)


def all_in_layout(layout: OciLayout, digest: str) -> tuple[dict[str, Any], ...]:
    """Return every fingerprint of a checkpoint in a layout, the oldest first."""
    found = []
    for entry in layout.entries():
        manifest = layout.read_json(entry.digest)
        if (
            manifest.get("artifactType") == FINGERPRINT
            and manifest.get("subject", {}).get("digest") == digest
        ):
            found.append(_checked(layout.read(manifest["layers"][0]["digest"]), digest))
    return tuple(found)


def _newest(found: tuple[dict[str, Any], ...], what: str) -> dict[str, Any]:
    if not found:
        raise RegistryError(
            "FINGERPRINT_MISSING",
            f"{what} has no fingerprint",
            "`permafrost model fingerprint record` makes one",
        )
    return found[-1]


def _checked(content: bytes, digest: str) -> dict[str, Any]:
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("checkpoint") != digest:
        raise RegistryError("FINGERPRINT_OF_ANOTHER", f"not a fingerprint of {digest}")
    return document
