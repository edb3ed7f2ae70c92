"""Versions to and from an OCI registry, also what public tools pushed there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model_registry import digests
from model_registry.adding import (
    Added,
    lineage_of,
    refuse_unsafe,
    register_content,
    require_parents,
    unsafe_content,
)
from model_registry.catalogue.model import Version, check_name, check_version
from model_registry.checkpoint import CheckpointFile, check_path, files_of, pack_stored
from model_registry.client import RegistryClient
from model_registry.errors import RegistryRefused
from model_registry.manifests import blobs_of, layers_of
from model_registry.media_types import MODEL, PACKED_FROM, TITLE, layer_type
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.transfer import pull, pull_blobs, push, require_tag_free
from model_registry.unsafe import has_unsafe_name

_UNPACK = "io.deis.oras.content.unpack"
Repository = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A version that an OCI registry holds now."""

    version: Version
    repository: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "version": self.version.label,
            "digest": self.version.digest,
            "repository": self.repository,
        }


def push_version(
    registry: Registry,
    version: Version,
    client: RegistryClient,
    repository_of: Repository,
    meter: Meter,
) -> Pushed:
    """Push a version with its signatures and fingerprints, under its version as tag.

    Blobs that a version of another name shares are lent by that name's repository, not sent.
    Refused, with nothing changed, where that tag names other content already.
    """
    if not version.is_present:
        raise RegistryRefused(
            "CONTENT_COLLECTED",
            f"the content of {version.label} was collected",
            "add or import the same files again",
        )
    repository = repository_of(version.name)
    require_tag_free(client, repository, version.version, version.digest, "VERSION_IMMUTABLE")
    lenders = _lenders(registry, version, repository_of)
    with registry.adding():
        push(
            registry.layout,
            client,
            repository,
            version.digest,
            tags=[version.version],
            meter=meter,
            lenders=lambda blob: lenders.get(blob, ()),
        )
    return Pushed(version, repository)


def pull_version(
    registry: Registry,
    client: RegistryClient,
    repository: str,
    reference: str,
    name: str,
    version: str,
    meter: Meter,
    *,
    allow_unsafe: bool = False,
    parents_outside: bool = False,
    why: str = "",
) -> Added:
    """Pull a manifest by tag or digest and register it as a candidate.

    What is no checkpoint of ours but an artifact of plain files is registered as a checkpoint of
    the same bytes, which says what it was packed from. Cut anywhere: nothing is visible, and the
    next pull goes on.
    """
    check_name(name)
    check_version(version)
    label = f"{name}:{version}"
    with registry.adding():
        content = client.manifest_bytes(repository, reference)
        digest, manifest = (
            digests.of_bytes(content),
            _document(content, f"{repository}:{reference}"),
        )
        is_ours = manifest.get("artifactType") == MODEL
        files = (
            files_of(manifest) if is_ours else _plain_files(manifest, f"{repository}:{reference}")
        )
        refuse_unsafe(label, [f.path for f in files if has_unsafe_name(f.path)], allow_unsafe)
        known = {v.version: v for v in registry.catalogue.versions(name)}.get(version)
        if is_ours and known is not None and known.digest != digest:
            raise RegistryRefused(
                "VERSION_IMMUTABLE",
                f"{known.label} is {known.digest}, not {digest}",
                "register the other one under a new version",
            )
        if is_ours and not parents_outside:
            require_parents(registry, lineage_of(manifest))
        if is_ours:
            pull(client, repository, digest, registry.layout, meter)
        else:
            blobs = [(f.digest, f.size) for f in files]
            pull_blobs(client, repository, blobs, registry.layout, meter)
            digest = pack_stored(files, registry.layout, name, {PACKED_FROM: digest})
        refuse_unsafe(
            label, unsafe_content(registry, registry.layout.read_json(digest)), allow_unsafe
        )
        return register_content(registry, name, version, digest, source="pull", why=why)


def _document(content: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RegistryRefused(
            "NOT_A_CHECKPOINT",
            f"{what} is no JSON object",
            "name a checkpoint that `permafrost model push` put there",
        )
    return document


def _plain_files(manifest: dict[str, Any], what: str) -> tuple[CheckpointFile, ...]:
    """Return the files of an artifact whose layers are raw files with a title."""
    found = []
    for layer in layers_of(manifest):
        path = layer.annotations.get(TITLE, "")
        if not path or layer.annotations.get(_UNPACK) == "true":
            raise RegistryRefused(
                "NOT_A_CHECKPOINT",
                f"{what}: not every layer is one plain file with a title",
                "push the files one by one, as `oras push` does with files",
            )
        check_path(path)
        found.append(CheckpointFile(path, layer.digest, layer.size, layer_type(path)))
    if not found:
        raise RegistryRefused(
            "NOT_A_CHECKPOINT",
            f"{what} names no files",
            "name a checkpoint that `permafrost model push` put there",
        )
    return tuple(sorted(found, key=lambda f: f.path))


def _lenders(
    registry: Registry, version: Version, repository_of: Repository
) -> dict[str, Sequence[str]]:
    wanted = set(blobs_of(registry.layout.read_json(version.digest)))
    found: dict[str, list[str]] = {}
    for other in registry.catalogue.versions():
        if other.name != version.name and other.is_present:
            for blob in wanted.intersection(blobs_of(registry.layout.read_json(other.digest))):
                repositories = found.setdefault(blob, [])
                if repository_of(other.name) not in repositories:
                    repositories.append(repository_of(other.name))
    return dict(found)
