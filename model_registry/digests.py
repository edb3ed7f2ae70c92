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

_WORTH_THREADS = 8 << 20

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def of_bytes(content: bytes) -> str:
    """Return the digest of bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def of_file(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def side_by_side(work: Callable[[Path], str], paths: Sequence[Path]) -> list[str]:
    """Return what ``work`` (it hashes) gives for each file, all cores at it, the largest first.

    Hashing leaves the interpreter to others. Small files are done one after the other: threads
    would cost more than they save.
    """
    sizes = {path: path.stat().st_size for path in paths}
    if sum(sizes.values()) < _WORTH_THREADS:
        return [work(path) for path in paths]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = {p: pool.submit(work, p) for p in sorted(sizes, key=lambda p: -sizes[p])}
        return [begun[path].result() for path in paths]


def check(digest: str) -> str:
    """Return the digest's hex part. Raises RegistryError where it is not a digest."""
    if DIGEST.fullmatch(digest) is None:
        raise RegistryError("DIGEST_INVALID", f"{digest!r} is not sha256:<64 hex digits>")
    return digest.removeprefix("sha256:")


def canonical_json(document: dict[str, Any]) -> bytes:
    """Return a document in the one form whose digest is its id."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
