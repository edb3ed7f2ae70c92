"""Does a stored checkpoint still hold the bytes that its id promises?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_registry import digests
from model_registry.checkpoint import CheckpointFile, files_of
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.meter import Meter


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with one file: BLOB_MISSING, BLOB_TRUNCATED or BLOB_CHANGED."""

    path: str
    code: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"path": self.path, "code": self.code}

    def __str__(self) -> str:
        return f"{self.path} ({self.code})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``damages`` names each file whose bytes are missing or other than promised."""

    checkpoint: str
    files: tuple[CheckpointFile, ...]
    damages: tuple[Damage, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """The files that are not as promised."""
        return tuple(damage.path for damage in self.damages)

    @property
    def holds(self) -> bool:
        """Whether every byte is as promised."""
        return not self.damages

    def says(self) -> str:
        """Return what is wrong, in words."""
        return ", ".join(map(str, self.damages))


def manifest_of(layout: OciLayout, checkpoint: str) -> dict[str, Any]:
    """Return a checkpoint's manifest. Raises MANIFEST_MISSING, MANIFEST_CHANGED."""
    try:
        return layout.read_json(checkpoint)
    except RegistryError as error:
        code = {"BLOB_MISSING": "MANIFEST_MISSING", "BLOB_CHANGED": "MANIFEST_CHANGED"}
        if error.code not in code:
            raise
        raise RegistryError(code[error.code], error.message, error.hint) from error


def verify(layout: OciLayout, checkpoint: str, meter: Meter | None = None) -> Verdict:
    """Read every byte of a checkpoint. Raises RegistryError where its manifest is not whole."""
    meter = meter or Meter()
    files = files_of(manifest_of(layout, checkpoint))
    wanted = {file.digest: layout.blob_path(file.digest) for file in files}
    paths = [path for path in wanted.values() if path.is_file()]
    meter.expect(sum(path.stat().st_size for path in paths))
    hashed = dict(zip(paths, digests.of_files(paths, meter), strict=True))

    def damage(file: CheckpointFile) -> Damage | None:
        path = wanted[file.digest]
        if path not in hashed:
            return Damage(file.path, "BLOB_MISSING")
        if hashed[path] == file.digest:
            return None
        is_cut = path.stat().st_size < file.size
        return Damage(file.path, "BLOB_TRUNCATED" if is_cut else "BLOB_CHANGED")

    return Verdict(checkpoint, files, tuple(d for d in map(damage, files) if d is not None))
