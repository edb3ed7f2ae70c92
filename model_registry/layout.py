"""An OCI image layout on disk: the store that needs no server.

Blobs are written to a temporary name, synced and renamed, so a file under its digest is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from model_registry import digests
from model_registry.digests import DIGEST
from model_registry.errors import RegistryError, not_stored
from model_registry.locking import locked
from model_registry.media_types import IMAGE_INDEX, IMAGE_MANIFEST, REF_NAME
from model_registry.meter import Meter
from model_registry.writing import sync, whole_file, write_whole

_LAYOUT_FILE = {"imageLayoutVersion": "1.0.0"}
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


@dataclass(frozen=True, slots=True)
class Entry:
    """One manifest that the layout's index names; ``tag`` is empty where it has none."""

    digest: str
    media_type: str
    tag: str


class OciLayout:
    """A folder with ``oci-layout``, ``index.json`` and ``blobs/sha256``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> OciLayout:
        """Return the layout at ``path``, made where there is none."""
        layout = cls(path)
        layout._blobs.mkdir(parents=True, exist_ok=True)
        if not (path / "oci-layout").exists():
            write_whole(path / "oci-layout", digests.canonical_json(_LAYOUT_FILE))
        if not (path / "index.json").exists():
            layout._write_index([])
        return layout

    @property
    def _blobs(self) -> Path:
        return self.path / "blobs" / "sha256"

    def blob_path(self, digest: str) -> Path:
        """Return where a blob lies, or would."""
        return self._blobs / digests.check(digest)

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return self.blob_path(digest).is_file()

    def size(self, digest: str) -> int:
        """Return a blob's size in bytes."""
        return self._existing(digest).stat().st_size

    def stream(self, digest: str) -> BinaryIO:
        """Return a blob opened for reading, not verified. Raises BLOB_MISSING."""
        return self._existing(digest).open("rb")

    def read(self, digest: str) -> bytes:
        """Return a blob's bytes, verified. Raises RegistryError."""
        content = self._existing(digest).read_bytes()
        if digests.of_bytes(content) != digest:
            raise _mismatch(self.blob_path(digest), digest)
        return content

    def read_json(self, digest: str) -> dict[str, Any]:
        """Return a blob that is a JSON object."""
        try:
            document = json.loads(self.read(digest))
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise RegistryError(
                "LAYOUT_INVALID",
                f"{digest} is not a JSON object",
                "`permafrost model verify` names what is damaged; pull or import it again",
            )
        return document

    def add_bytes(self, content: bytes) -> str:
        """Store bytes and return their digest; damaged ones that lie there are replaced."""
        digest = digests.of_bytes(content)
        if not self.has(digest) or self.blob_path(digest).read_bytes() != content:
            write_whole(self.blob_path(digest), content)
        return digest

    def add_file(self, source: Path, meter: Meter | None = None) -> str:
        """Store a copy of a file and return its digest."""
        with source.open("rb") as file:
            return self.add_stream(file, meter=meter)

    def add_stream(
        self, source: BinaryIO, expected: str | None = None, meter: Meter | None = None
    ) -> str:
        """Store a stream and return its digest; RegistryError where it is not ``expected``."""
        sha, meter = hashlib.sha256(), meter or Meter()
        with whole_file(self._blobs) as (file, keep):
            while chunk := source.read(_CHUNK):
                sha.update(chunk)
                meter.move(len(chunk))
                if chunk == _ZEROS:
                    file.seek(len(chunk), os.SEEK_CUR)  # a hole stays one
                else:
                    file.write(chunk)
            file.truncate()
            digest = f"sha256:{sha.hexdigest()}"
            if expected not in (None, digest):
                raise RegistryError(
                    "DIGEST_MISMATCH",
                    f"wanted {expected}, the bytes are {digest}",
                    "it came damaged, or its source is: fetch it again",
                )
            keep(self.blob_path(digest))
        return digest

    def holds(self, digest: str) -> bool:
        """Whether the blob is there with the bytes that its digest promises: all are read."""
        return self.has(digest) and digests.of_file(self.blob_path(digest)) == digest

    def receive(
        self, digest: str, fill: Callable[[BinaryIO], None], *, is_damaged: bool = False
    ) -> None:
        """Complete a blob: ``fill`` appends what is missing to what arrived so far, and verifies.

        Where it fails, what arrived is kept for the next one, but for wrong bytes and a full
        disk. Of two at once one waits for the other, and finds it whole. What ``is_damaged`` is
        replaced.
        """
        part = self._blobs / f".part-{digests.check(digest)}"
        try:
            with part.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self.has(digest) and not is_damaged:
                    part.unlink(missing_ok=True)  # it was renamed, or is new and empty
                    return
                try:
                    fill(file)
                except RegistryError as error:
                    if error.code == "DIGEST_MISMATCH":
                        part.unlink(missing_ok=True)
                    raise
                file.flush()
                os.fsync(file.fileno())
                part.replace(self.blob_path(digest))
                sync(self._blobs)
        except OSError as error:
            told = not_stored(f"cannot write {part}", error)
            if told.code == "DISK_FULL":  # a catalogue on that disk needs room, also to be read
                part.unlink(missing_ok=True)
            raise told from error

    def add_manifest(self, document: dict[str, Any], tag: str = "") -> str:
        """Store a manifest, name it in the index and return its digest."""
        return self.add_manifest_bytes(digests.canonical_json(document), tag)

    def add_manifest_bytes(self, content: bytes, tag: str = "") -> str:
        """Store a manifest as it is; a tag that another manifest had moves to this one."""
        document = json.loads(content)
        digest = self.add_bytes(content)
        entry: dict[str, Any] = {
            "mediaType": document.get("mediaType", IMAGE_MANIFEST),
            "digest": digest,
            "size": len(content),
        }
        if artifact := document.get("artifactType"):
            entry["artifactType"] = artifact
        if tag:
            entry["annotations"] = {REF_NAME: tag}
        with locked(self.path):
            kept = [e for e in self._index() if not _replaced(e, digest, tag)]
            self._write_index([*kept, entry])
        return digest

    def tag(self, digest: str, tag: str) -> None:
        """Name a stored manifest in the index, unless it has that name."""
        if not any((e.digest, e.tag) == (digest, tag) for e in self.entries()):
            self.add_manifest_bytes(self.read(digest), tag)

    def forget(self, gone: Set[str]) -> None:
        """Take manifests out of the index; their bytes stay until they are removed."""
        with locked(self.path):
            kept = [e for e in self._index() if e["digest"] not in gone]
            self._write_index(kept)

    def stored(self) -> frozenset[str]:
        """Return the digests of all blobs."""
        return frozenset(
            f"sha256:{p.name}" for p in self._blobs.iterdir() if not p.name.startswith(".")
        )

    def remove_blob(self, digest: str) -> int:
        """Remove a blob; returns its size."""
        path = self.blob_path(digest)
        size = path.stat().st_size
        path.unlink()
        return size

    def remove_parts(self) -> int:
        """Remove what writers left that died; nobody may be writing. Returns how many bytes."""
        size = 0
        for path in (*self._blobs.glob(".part-*"), *self.path.glob(".part-*")):
            size += path.stat().st_size
            path.unlink()
        return size

    def entries(self) -> tuple[Entry, ...]:
        """Return the manifests that the index names, in its order."""
        return tuple(
            Entry(e["digest"], e["mediaType"], e.get("annotations", {}).get(REF_NAME, ""))
            for e in self._index()
        )

    def _existing(self, digest: str) -> Path:
        path = self.blob_path(digest)
        if not path.is_file():
            raise RegistryError(
                "BLOB_MISSING",
                f"{self.path} holds no {digest}",
                "`permafrost model verify` names what is lost; pull or import it again",
            )
        return path

    def _index(self) -> list[dict[str, Any]]:
        try:
            manifests = list(json.loads((self.path / "index.json").read_bytes())["manifests"])
            for entry in manifests:
                if DIGEST.fullmatch(entry["digest"]) is None or "mediaType" not in entry:
                    raise ValueError(f"its index names {str(entry)[:100]}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RegistryError(
                "LAYOUT_INVALID",
                f"{self.path} is not an OCI image layout: {error}",
                "name a registry's folder, or put its index.json back from a backup",
            ) from error
        return manifests

    def _write_index(self, manifests: list[dict[str, Any]]) -> None:
        index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests}
        write_whole(self.path / "index.json", digests.canonical_json(index))


def _replaced(entry: dict[str, Any], digest: str, tag: str) -> bool:
    named = entry.get("annotations", {}).get(REF_NAME, "")
    return (entry["digest"] == digest and named in ("", tag)) or bool(tag and named == tag)


def _mismatch(path: Path, digest: str) -> RegistryError:
    return RegistryError(
        "BLOB_CHANGED",
        f"the bytes of {path} are not those of {digest}",
        "add, import or pull the same files again",
    )
