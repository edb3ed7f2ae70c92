"""The recorded behaviour of a checkpoint, attached to it as an OCI referrer."""

from __future__ import annotations

import json
from typing import Any

from model_registry.client import RegistryClient
from model_registry.digests import canonical_json
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.media_types import EMPTY_CONFIG, FINGERPRINT, IMAGE_MANIFEST, TITLE

_EMPTY = b"{}"


def attach(layout: OciLayout, checkpoint: str, fingerprint: dict[str, Any]) -> str:
    """Attach a fingerprint to a checkpoint of the layout; returns the artifact's digest."""
    if fingerprint.get("checkpoint") != checkpoint:
        raise RegistryError(
            "FINGERPRINT_OF_ANOTHER", f"the fingerprint is of {fingerprint.get('checkpoint')}"
        )
    content = canonical_json(fingerprint)
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": FINGERPRINT,
        "config": {
            "mediaType": EMPTY_CONFIG,
            "digest": layout.add_bytes(_EMPTY),
            "size": len(_EMPTY),
        },
        "layers": [
            {
                "mediaType": FINGERPRINT,
                "digest": layout.add_bytes(content),
                "size": len(content),
                "annotations": {TITLE: "fingerprint.json"},
            }
        ],
        "subject": {
            "mediaType": IMAGE_MANIFEST,
            "digest": checkpoint,
            "size": layout.size(checkpoint),
        },
    }
    return layout.add_manifest(manifest)


def find_fingerprint(client: RegistryClient, repository: str, digest: str) -> dict[str, Any]:
    """Return the newest fingerprint of a checkpoint in a registry. Raises RegistryError."""
    referrers = [
        r for r in client.referrers(repository, digest) if r.get("artifactType") == FINGERPRINT
    ]
    if not referrers:
        raise _missing(f"{repository}@{digest}")
    manifest = client.manifest(repository, referrers[-1]["digest"])
    return _checked(client.blob(repository, manifest["layers"][0]["digest"]), digest)


def find_in_layout(layout: OciLayout, digest: str) -> dict[str, Any]:
    """Return the newest fingerprint of a checkpoint in a layout. Raises RegistryError."""
    for entry in reversed(layout.entries()):
        manifest = layout.read_json(entry.digest)
        if (
            manifest.get("artifactType") == FINGERPRINT
            and manifest.get("subject", {}).get("digest") == digest
        ):
            return _checked(layout.read(manifest["layers"][0]["digest"]), digest)
    raise _missing(f"{layout.path}: {digest}")


def _missing(what: str) -> RegistryError:
    return RegistryError(
        "FINGERPRINT_MISSING", f"{what} has no fingerprint", "record one from the engine alone"
    )


def _checked(content: bytes, digest: str) -> dict[str, Any]:
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("checkpoint") != digest:
        raise RegistryError("FINGERPRINT_OF_ANOTHER", f"not a fingerprint of {digest}")
    return document
