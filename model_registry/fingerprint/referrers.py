"""Fingerprints beside their checkpoint: OCI referrers of its manifest."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_registry.answers import object_of
from model_registry.client import RegistryClient
from model_registry.digests import canonical_json, of_bytes
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.manifests import subject_of
from model_registry.media_types import FINGERPRINT
from model_registry.referring import EMPTY, artifact


def attach(layout: OciLayout, checkpoint: str, fingerprint: Mapping[str, Any]) -> str:
    """Attach a fingerprint to a checkpoint of the layout; returns the artifact's digest."""
    content, manifest = _artifact(checkpoint, layout.size(checkpoint), fingerprint)
    layout.add_bytes(EMPTY)
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
    for blob in (EMPTY, content):
        client.upload(repository, of_bytes(blob), io.BytesIO(blob), len(blob))
    return client.put_manifest(repository, canonical_json(manifest))


def _artifact(
    checkpoint: str, size: int, fingerprint: Mapping[str, Any]
) -> tuple[bytes, dict[str, Any]]:
    if fingerprint.get("checkpoint") != checkpoint:
        raise RegistryError(
            "FINGERPRINT_OF_ANOTHER",
            f"the fingerprint is of {fingerprint.get('checkpoint')}",
            "attach it to the checkpoint of which it was recorded",
        )
    content = canonical_json(dict(fingerprint))
    return content, artifact(checkpoint, size, FINGERPRINT, content, "fingerprint.json")


def find_fingerprint(client: RegistryClient, repository: str, digest: str) -> dict[str, Any]:
    """Return the newest fingerprint of a checkpoint in a registry. Raises RegistryError."""
    return _newest(all_in_registry(client, repository, digest), f"{repository}@{digest}")


def find_in_layout(layout: OciLayout, digest: str) -> dict[str, Any]:
    """Return the newest fingerprint of a checkpoint in a layout. Raises RegistryError."""
    return _newest(all_in_layout(layout, digest), f"{layout.path}: {digest}")


@dataclass(frozen=True, slots=True)
class Found:
    """A fingerprint of a registry: the digest of its artifact, and its bytes."""

    artifact: str
    content: bytes


def found_in_registry(client: RegistryClient, repository: str, digest: str) -> tuple[Found, ...]:
    """Return every fingerprint of a checkpoint in a registry, the oldest first."""
    found = []
    for entry in client.referrers(repository, digest):
        if entry.get("artifactType") == FINGERPRINT:
            manifest = client.manifest(repository, entry["digest"])
            if not manifest.get("layers"):
                continue  # anybody may attach an artifact that holds nothing
            content = client.blob(repository, manifest["layers"][0]["digest"])
            found.append(Found(entry["digest"], content))
    return tuple(found)


def all_in_registry(
    client: RegistryClient, repository: str, digest: str
) -> tuple[dict[str, Any], ...]:
    """Return every fingerprint of a checkpoint in a registry, read, the oldest first."""
    return tuple(read_of(found, digest) for found in found_in_registry(client, repository, digest))


def read_of(found: Found, digest: str) -> dict[str, Any]:
    """Return the document of a fingerprint. Raises RegistryError where it is of another."""
    return _checked(found.content, digest)


def all_in_layout(layout: OciLayout, digest: str) -> tuple[dict[str, Any], ...]:
    """Return every fingerprint of a checkpoint in a layout, the oldest first."""
    found = []
    for entry in layout.entries():
        manifest = layout.read_json(entry.digest)
        if manifest.get("artifactType") == FINGERPRINT and subject_of(manifest) == digest:
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
    document = object_of(content, f"the fingerprint of {digest}", "FINGERPRINT_INVALID")
    if document.get("checkpoint") != digest:
        raise RegistryError(
            "FINGERPRINT_OF_ANOTHER",
            f"not a fingerprint of {digest}",
            "record it again: `permafrost model fingerprint record`",
        )
    return document
