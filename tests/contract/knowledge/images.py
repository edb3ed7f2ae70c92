"""Servers out of the lab's images: the very programs that its containers run."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lab.build import parts


def program_of(part: str, inside: str, target: Path) -> Path:
    """Take one program out of an image of the lab."""
    for name, source in _files(part):
        if name == inside:
            with target.open("wb") as file:
                shutil.copyfileobj(source, file)
            target.chmod(0o755)
            return target
    raise AssertionError(f"{part} has no {inside}")


def folder_of(part: str, inside: str, target: Path) -> Path:
    """Take the files of one folder out of an image of the lab; not those of folders in it."""
    target.mkdir()
    for name, source in _files(part):
        if name.rpartition("/")[0] == inside:
            with (target / name.rpartition("/")[2]).open("wb") as file:
                shutil.copyfileobj(source, file)
    assert list(target.iterdir()), f"{part} has no {inside}"
    return target


def _files(part: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the files of an image, those of upper layers first; each is open until the next."""
    blobs = parts.path(part) / "oci" / "blobs"

    def blob(described: dict[str, Any]) -> Path:
        return blobs / str(described["digest"]).replace(":", "/")

    index = json.loads((blobs.parent / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]).read_text())
    for layer in reversed(manifest["layers"]):
        with gzip.open(blob(layer)) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for member in archive:
                if member.isfile() and (source := archive.extractfile(member)) is not None:
                    yield member.name.removeprefix("./"), source
