"""Servers out of the lab's images: the very programs that its containers run."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from lab.build import parts


def program_of(part: str, inside: str, target: Path) -> Path:
    """Take one program out of an image of the lab."""
    blobs = parts.path(part) / "oci" / "blobs"

    def blob(described: dict[str, Any]) -> Path:
        return blobs / str(described["digest"]).replace(":", "/")

    index = json.loads((blobs.parent / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]).read_text())
    for layer in reversed(manifest["layers"]):
        with gzip.open(blob(layer)) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for member in archive:
                if member.name.removeprefix("./") == inside:
                    source = archive.extractfile(member)
                    assert source is not None
                    with target.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    target.chmod(0o755)
                    return target
    raise AssertionError(f"{part} has no {inside}")
