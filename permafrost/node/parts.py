"""The file into which a blob is fetched: hashed while it grows, durable before it gets a name."""

from __future__ import annotations

import errno
import hashlib
import os
from io import FileIO
from typing import Any

from .errors import NodeError

CHUNK = 1 << 20


def begun(file: FileIO) -> tuple[Any, int]:
    """Return the hash and the size of what a part holds already."""
    sha = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        sha.update(chunk)
    return sha, file.tell()


def write(file: FileIO, chunk: bytes) -> None:
    """Append all of a chunk. Raises NodeError (DISK_FULL, STORE_FAILED)."""
    left = memoryview(chunk)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise _not_stored(error) from error


def sync(file: FileIO) -> None:
    """Make what was written durable. Raises NodeError (DISK_FULL, STORE_FAILED)."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        raise _not_stored(error) from error


def _not_stored(error: OSError) -> NodeError:
    """A full disk is no trouble of the registry's: it is not tried again."""
    code = "DISK_FULL" if error.errno == errno.ENOSPC else "STORE_FAILED"
    return NodeError(code, f"the node's disk: {error.strerror}", "what came is kept")
