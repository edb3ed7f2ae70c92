"""Files that are there whole or not at all: written beside, synced, renamed, the folder synced."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from model_registry.errors import not_stored


@contextmanager
def whole_file(folder: Path) -> Iterator[tuple[BinaryIO, Any]]:
    """Yield a new file below a folder and what gives it its name; without a name it goes."""
    part: Path | None = None

    def keep(target: Path) -> None:
        assert part is not None
        file.flush()
        os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(target)
        sync(target.parent)

    try:
        handle, name = tempfile.mkstemp(prefix=".part-", dir=folder)
        part = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file, keep
    except OSError as error:
        raise not_stored(f"cannot write below {folder}", error) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or replace it; a cut leaves the one or the other."""
    with whole_file(path.parent) as (file, keep):
        file.write(content)
        keep(path)


def sync(folder: Path) -> None:
    """Put a folder's names on disk: a file's own sync does not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
