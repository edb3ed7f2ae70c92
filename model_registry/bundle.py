"""One file for an air gap: an OCI image layout as a tar, with the versions' names in its index.

Public tools read it (as an OCI archive). Every blob is verified when it is written and again on
the way in; names become visible only when all that they need is there. The same versions give
the same bytes. Stages do not travel: a promotion is a decision of the site where it holds.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from model_registry.adding import (
    Added,
    lineage_of,
    refuse_unsafe,
    register_content,
    require_parents,
    require_sizes,
    unsafe_content,
)
from model_registry.catalogue.model import Version, check_name, check_version
from model_registry.digests import DIGEST, canonical_json
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.layout import OciLayout
from model_registry.lineage import Lineage
from model_registry.manifests import annotations_of, blobs_of, subject_of
from model_registry.media_types import IMAGE_INDEX, MODEL, REF_NAME
from model_registry.meter import Meter
from model_registry.registry import Registry

_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")
_LARGEST_INDEX = 16 << 20


def export(
    registry: Registry, versions: Sequence[Version], target: Path, meter: Meter | None = None
) -> int:
    """Write versions, with what refers to them, into one file; returns its size."""
    meter = meter or Meter()
    part = target.with_name(f".{target.name}.part")
    with registry.adding():
        index, blobs = _contents(registry.layout, versions)
        meter.expect(sum(registry.layout.size(b) for b in blobs if registry.layout.has(b)))
        try:
            with part.open("wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    _put(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
                    _put(archive, "index.json", canonical_json(index))
                    for blob in blobs:
                        _put_blob(archive, registry.layout, blob, meter)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return target.stat().st_size


def import_bundle(
    registry: Registry,
    source: Path,
    *,
    allow_unsafe: bool = False,
    parents_outside: bool = False,
    why: str = "",
    meter: Meter | None = None,
) -> tuple[Added, ...]:
    """Take in every version of a bundle, or none where one is not whole or not allowed."""
    with registry.adding():
        index = _unpack(registry.layout, source, meter or Meter())
        named = [_named(entry) for entry in index if REF_NAME in entry.get("annotations", {})]
        if not named:
            raise RegistryRefused(
                "BUNDLE_EMPTY",
                f"{source} names no version",
                "export it again, with the versions that are wanted",
            )
        for name, version, digest in named:
            manifest = _whole(registry.layout, digest, f"{name}:{version}")
            unsafe = unsafe_content(registry, manifest)
            refuse_unsafe(f"{name}:{version}", unsafe, allow_unsafe)
            if not parents_outside:
                _require_parents(registry, lineage_of(manifest), {d for _, _, d in named})
            known = {v.version: v for v in registry.catalogue.versions(name)}.get(version)
            if known is not None and known.digest != digest:
                raise RegistryRefused(
                    "VERSION_IMMUTABLE",
                    f"{known.label} is {known.digest}, not {digest}",
                    "register the other one under a new version",
                )
        for entry in index:
            if REF_NAME not in entry.get("annotations", {}):
                _whole(registry.layout, entry["digest"], "what refers to a version")
                registry.layout.tag(entry["digest"], "")
        return tuple(
            register_content(registry, name, version, digest, source="import", why=why)
            for name, version, digest in named
        )


def _contents(layout: OciLayout, versions: Sequence[Version]) -> tuple[dict[str, Any], list[str]]:
    tags: dict[tuple[str, str], dict[str, Any]] = {}
    blobs: set[str] = set()
    wanted = {v.digest for v in versions}
    for entry in layout.entries():
        document = layout.read_json(entry.digest)
        refers = subject_of(document) in wanted
        if entry.digest in wanted or refers:
            blobs |= {entry.digest, *blobs_of(document)}
            described = {
                "mediaType": entry.media_type,
                "digest": entry.digest,
                "size": layout.size(entry.digest),
                "artifactType": document["artifactType"],
            }
            if refers:
                tags[entry.digest, ""] = described
            for version in versions:
                if version.digest == entry.digest:
                    named = {**described, "annotations": {REF_NAME: version.label}}
                    tags[entry.digest, version.label] = named
    for version in versions:
        if version.digest not in blobs:
            raise RegistryError(
                "BLOB_MISSING",
                f"the manifest of {version.label} is not there",
                "`permafrost model verify` names what is lost; pull or import it first",
            )
    manifests = [tags[key] for key in sorted(tags)]
    index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests}
    return index, sorted(blobs)


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # time, owner and mode are fixed by this
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _put_blob(archive: tarfile.TarFile, layout: OciLayout, digest: str, meter: Meter) -> None:
    member = tarfile.TarInfo(f"blobs/sha256/{digest.removeprefix('sha256:')}")
    member.size = layout.size(digest)
    with layout.stream(digest) as file:
        reader = _Hashing(file, meter)
        archive.addfile(member, reader)
    if f"sha256:{reader.sha.hexdigest()}" != digest:
        raise RegistryError(
            "BLOB_CHANGED", f"the bytes of {digest} are others", "`verify` names the file"
        )


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO, meter: Meter) -> None:
        self._file, self._meter = file, meter
        self.sha = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.sha.update(content)
        self._meter.move(len(content))
        return content


def _unpack(layout: OciLayout, source: Path, meter: Meter) -> list[dict[str, Any]]:
    """Store the blobs of a bundle, each verified; return what its index names."""
    index: list[dict[str, Any]] | None = None
    try:
        meter.expect(source.stat().st_size)
        with tarfile.open(source, mode="r:") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None and member.name == "index.json":
                    index = _entries(json.loads(file.read(_LARGEST_INDEX)))
                elif file is not None and _BLOB.fullmatch(member.name):
                    layout.add_stream(
                        file,  # type: ignore[arg-type]
                        expected=f"sha256:{member.name.rpartition('/')[2]}",
                        meter=meter,
                    )
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RegistryError("BUNDLE_BROKEN", f"{source}: {error}", "fetch it again") from error
    if index is None:
        raise RegistryError(
            "BUNDLE_BROKEN", f"{source} holds no index.json", "fetch it again, or export it anew"
        )
    return index


def _entries(index: Any) -> list[dict[str, Any]]:
    """Return what an index names. Raises ValueError, KeyError or TypeError where it is none."""
    found = []
    for entry in list(index["manifests"]):
        if DIGEST.fullmatch(entry["digest"]) is None:
            raise ValueError(f"its index names {str(entry['digest'])[:80]!r}")
        found.append({"digest": entry["digest"], "annotations": annotations_of(entry)})
    return found


def _named(entry: dict[str, Any]) -> tuple[str, str, str]:
    name, _, version = str(entry["annotations"][REF_NAME]).rpartition(":")
    return check_name(name), check_version(version), str(entry["digest"])


def _whole(layout: OciLayout, digest: str, what: str) -> dict[str, Any]:
    manifest = layout.read_json(digest)
    if not subject_of(manifest) and manifest.get("artifactType") != MODEL:
        raise RegistryRefused(
            "NOT_A_CHECKPOINT",
            f"{what} is {manifest.get('artifactType')!r}",
            "export versions with `permafrost model export`, and import that",
        )
    missing = [blob for blob in blobs_of(manifest) if not layout.has(blob)]
    if missing:
        raise RegistryError(
            "BUNDLE_INCOMPLETE", f"{what}: {missing[0]} is not in the bundle", "export it again"
        )
    require_sizes(layout, manifest)
    return manifest


def _require_parents(registry: Registry, lineage: Lineage | None, beside: set[str]) -> None:
    if lineage is not None and not all(p.digest in beside for p in lineage.parents):
        require_parents(registry, lineage)
