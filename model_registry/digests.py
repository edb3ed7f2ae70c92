"""SHA-256 digests in OCI's form, ``sha256:<64 hex digits>``."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from model_registry.errors import RegistryError
from model_registry.meter import Meter

_WORTH_THREADS = 8 << 20
_A_CORE = 2
"""Files at a time for each core: one is hashed while the other waits for the disk."""
_BLOCK = 512 << 10
"""Bytes a read. The system reads ahead by itself; asking it to costs more than it brings."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def of_bytes(content: bytes) -> str:
    """Return the digest of bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def of_file(path: Path, meter: Meter | None = None) -> str:
    """Return the digest of a file's bytes; ``meter`` is told of them as they are read."""
    sha, buffer = hashlib.sha256(), bytearray(_BLOCK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha.update(view[:count])
            if meter is not None:
                meter.move(count)
    return f"sha256:{sha.hexdigest()}"


def of_files(paths: Sequence[Path], meter: Meter | None = None) -> list[str]:
    """Return the digest of each file's bytes, all cores at it."""
    return side_by_side(lambda path: of_file(path, meter), paths)


def side_by_side(work: Callable[[Path], str], paths: Sequence[Path]) -> list[str]:
    """Return what ``work`` (it hashes) gives for each file, all cores at it, the largest first.

    Hashing leaves the interpreter to others. Small files are done one after the other: threads
    would cost more than they save.
    """
    sizes = {path: path.stat().st_size for path in paths}
    if sum(sizes.values()) < _WORTH_THREADS:
        return [work(path) for path in paths]
    with ThreadPoolExecutor(_A_CORE * (os.cpu_count() or 1)) as pool:
        begun = {p: pool.submit(work, p) for p in sorted(sizes, key=lambda p: -sizes[p])}
        return [begun[path].result() for path in paths]


def check(digest: str) -> str:
    """Return the digest's hex part. Raises RegistryError where it is not a digest."""
    if DIGEST.fullmatch(digest) is None:
        raise RegistryError(
            "DIGEST_INVALID",
            f"{digest!r} is not sha256:<64 hex digits>",
            "copy the whole digest: `permafrost model list` shows it",
        )
    return digest.removeprefix("sha256:")


def canonical_json(document: dict[str, Any]) -> bytes:
    """Return a document in the one form whose digest is its id."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
