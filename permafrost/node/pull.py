"""``pull``: make the pinned checkpoint and its fingerprint present on this node."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import NodeError
from .registry import RegistryReader
from .store import ModelStore, files_of


def pull(
    checkpoint: str, store: ModelStore, registry: RegistryReader, fingerprint_file: Path
) -> dict[str, Any]:
    """Fetch what is missing or wrong and return what was done; a second run changes nothing."""
    store.create()
    if not store.holds(checkpoint):
        store.keep_bytes(registry.manifest(checkpoint), checkpoint)
    files = files_of(store.manifest(checkpoint))
    fetched = 0
    for file in files:
        if store.holds(file.digest):
            continue
        part = store.blobs / f".{file.digest.removeprefix('sha256:')}.part"
        registry.download(file.digest, file.size, part)
        store.keep(part, file.digest)
        fetched += file.size
    built = store.build_tree(checkpoint, files)
    recorded = _keep_fingerprint(registry.fingerprint(checkpoint), checkpoint, fingerprint_file)
    return {
        "schema": 1,
        "changed": bool(fetched or built or recorded),
        "checkpoint": checkpoint,
        "files": len(files),
        "fetched_bytes": fetched,
    }


def _keep_fingerprint(content: bytes, checkpoint: str, target: Path) -> bool:
    if json.loads(content).get("checkpoint") != checkpoint:
        raise NodeError("FINGERPRINT_OF_ANOTHER", f"the registry's is not of {checkpoint}")
    if target.is_file() and target.read_bytes() == content:
        return False
    part = target.with_name(f".{target.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(0o644)
    part.replace(target)
    return True
