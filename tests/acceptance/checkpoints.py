"""Checkpoints made from others by hand: OCI layouts read as the specification says.

Nothing of the product is used: what is made here is what somebody else's tool would make.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Layout:
    """An OCI image layout, read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, digest: str) -> bytes:
        return (self.path / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def fine_tuned_files(layout: Layout, files: list[dict[str, Any]], target: Path) -> Path:
    """Write a checkpoint's files with changed weights: bits within the last tensors' data."""
    target.mkdir()
    for file in files:
        content = bytearray(layout.read(file["digest"]))
        if file["path"].endswith(".gguf"):
            for at in range(len(content) - (1 << 20), len(content), 64):
                content[at] ^= 1
        (target / file["path"]).write_bytes(content)
    return target
