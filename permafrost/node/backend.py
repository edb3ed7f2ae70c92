"""What a backend tells by its counters' file: how much it does, and whether it lives at all.

The backend is a process of its own behind Triton. When it dies, Triton goes on saying that its
model is ready. The backend holds a lock on the file for life, and the kernel lets go of that lock
with the process, however it ends: whoever can have the lock knows that it has ended.
"""

from __future__ import annotations

import fcntl
import struct
from pathlib import Path

_COUNTERS = struct.Struct("<qq")


def counted(file: Path) -> tuple[int, int]:
    """Return requests in flight and tokens given; zeros of a backend that counts nothing.

    Raises ValueError where the file is of another shape.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return 0, 0
    if len(content) != _COUNTERS.size:
        raise ValueError(f"{file} holds {len(content)} bytes")
    executing, tokens = _COUNTERS.unpack(content)
    return executing, tokens


def has_ended(file: Path) -> bool:
    """Whether the process that counts there has ended; of one that counts nothing, no."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return False
    return True
