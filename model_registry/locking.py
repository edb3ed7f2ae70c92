"""One writer at a time for a folder, across processes; the kernel frees it when a holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_registry.errors import RegistryError, RegistryRefused

_POLL_S = 0.02


@contextmanager
def locked(folder: Path, *, is_shared: bool = False, deadline_s: float = 600) -> Iterator[None]:
    """Hold the folder for a block, alone or with others that share it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RegistryError(
            "LAYOUT_INVALID",
            f"cannot open {folder}: {error}",
            "name a folder that this user may read and write",
        ) from error
    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    until = time.monotonic() + deadline_s
    try:
        while not _taken(handle, kind):
            if time.monotonic() > until:
                raise RegistryRefused(
                    "REGISTRY_BUSY", f"{folder} is held by another command", "try again later"
                )
            time.sleep(_POLL_S)  # flock can be waited for without an end only
        yield
    finally:
        os.close(handle)


def _taken(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
