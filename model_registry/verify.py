"""Does a stored checkpoint still hold the bytes that its id promises?"""

from __future__ import annotations

from dataclasses import dataclass

from model_registry import digests
from model_registry.checkpoint import CheckpointFile, files_of
from model_registry.layout import OciLayout


@dataclass(frozen=True, slots=True)
class Verdict:
    """``wrong`` names each file whose bytes are missing or other than promised."""

    checkpoint: str
    files: tuple[CheckpointFile, ...]
    wrong: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every byte is as promised."""
        return not self.wrong


def verify(layout: OciLayout, checkpoint: str) -> Verdict:
    """Read every byte of a checkpoint. Raises RegistryError where its manifest is not whole."""
    files = files_of(layout.read_json(checkpoint))
    wanted = {file.digest: layout.blob_path(file.digest) for file in files}
    paths = [path for path in wanted.values() if path.is_file()]
    hashed = dict(zip(paths, digests.side_by_side(digests.of_file, paths), strict=True))
    wrong = tuple(f.path for f in files if hashed.get(wanted[f.digest]) != f.digest)
    return Verdict(checkpoint, files, wrong)
