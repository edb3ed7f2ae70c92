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
    wrong = tuple(
        file.path
        for file in files
        if not layout.has(file.digest)
        or digests.of_file(layout.blob_path(file.digest)) != file.digest
    )
    return Verdict(checkpoint, files, wrong)
