"""Whole artifacts between an OCI layout and a registry: blobs first, names last."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.media_types import IMAGE_INDEX


def push_layout(layout: Path, client: RegistryClient, repository: str) -> str:
    """Push all that a layout's index names; returns the digest of its first subject-less manifest.

    Manifests that refer to another one are pushed after it, so nobody finds a fingerprint whose
    checkpoint is not there yet.
    """
    store = OciLayout(layout)
    entries = [(e, store.read_json(e.digest)) for e in store.entries()]
    if not entries:
        raise RegistryError("LAYOUT_EMPTY", f"{layout} names no manifest")
    entries.sort(key=lambda pair: "subject" in pair[1])
    for entry, _ in entries:
        _push_manifest(store, client, repository, entry.digest, entry.tag)
    return entries[0][0].digest


def pull(client: RegistryClient, repository: str, digest: str, layout: OciLayout) -> str:
    """Pull one manifest with its blobs and what refers to it; returns its digest."""
    _pull_manifest(client, repository, digest, layout)
    for referrer in client.referrers(repository, digest):
        _pull_manifest(client, repository, referrer["digest"], layout)
    return digest


def _push_manifest(
    store: OciLayout, client: RegistryClient, repository: str, digest: str, tag: str
) -> None:
    content = store.read(digest)
    document: dict[str, Any] = json.loads(content)
    if document.get("mediaType") == IMAGE_INDEX:
        for child in document["manifests"]:
            _push_manifest(store, client, repository, child["digest"], "")
    for blob in _blobs(document):
        with store.blob_path(blob).open("rb") as file:
            client.upload(repository, blob, file, store.size(blob))
    client.put_manifest(repository, content, *([tag] if tag else []))


def _pull_manifest(
    client: RegistryClient, repository: str, digest: str, layout: OciLayout
) -> None:
    content = client.manifest_bytes(repository, digest)
    document: dict[str, Any] = json.loads(content)
    for child in document.get("manifests", []):
        _pull_manifest(client, repository, child["digest"], layout)
    for blob in _blobs(document):
        if not layout.has(blob):
            with tempfile.TemporaryFile(dir=layout.path) as file:
                client.download(repository, blob, file)
                file.seek(0)
                layout.add_stream(file, expected=blob)
    layout.add_manifest_bytes(content)


def _blobs(document: dict[str, Any]) -> Iterator[str]:
    if "config" in document:
        yield document["config"]["digest"]
    for layer in document.get("layers", []):
        yield layer["digest"]
