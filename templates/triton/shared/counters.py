"""Counters of a backend that permafrost-node reads: two numbers in a small mapped file.

Triton's own custom metrics are not used: a metric that is told while streams are sending makes
Triton 2.51 read freed shared memory and die (signal 11, seen at a hundred streams). Here nothing
but memory is written. The file begins at zero with each start of the model.

The file stays locked as long as this process lives: Triton does not notice when it dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from pathlib import Path

PATH_VARIABLE = "PERMAFROST_COUNTERS"
SIZE = 16
"""Requests in flight, then tokens given since the start: both 64 bit, little endian."""


class Counter:
    """One number; may be told from any thread."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory, self._offset = memory, offset
        self._lock = threading.Lock()
        self._value = 0

    def increment(self, by: int) -> None:
        """Add to the number."""
        with self._lock:
            self._value += by
            struct.pack_into("<q", self._memory, self._offset, self._value)


def open_counters() -> tuple[Counter, Counter]:
    """Return the counters of requests in flight and of tokens, both zero."""
    memory = _memory(os.environ.get(PATH_VARIABLE, ""))
    return Counter(memory, 0), Counter(memory, 8)


def _memory(path: str) -> mmap.mmap:
    if not path:
        return mmap.mmap(-1, SIZE)
    # Made beside and renamed: a reader never meets a file that is too short.
    part = Path(f"{path}.part")
    part.write_bytes(bytes(SIZE))
    part.chmod(0o644)
    file = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(file, fcntl.LOCK_EX)
    memory = mmap.mmap(file, SIZE)
    part.replace(path)
    return memory  # the file stays open, and with it the lock, until this process ends
