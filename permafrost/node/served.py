"""Which checkpoint each slot served last: written when it was admitted, read before a load.

A version that was loaded and never admitted is no way back. The service says what it admitted; it
may write here alone, so what it says only decides which of two versions a slot keeps.
"""

from __future__ import annotations

import os
from pathlib import Path

from .settings import DIGEST


def note(folder: Path, slot: str, checkpoint: str) -> bool:
    """Note what a slot serves; returns whether that is new. Raises OSError."""
    file = folder / f"served-{slot}"
    if last(folder, slot) == checkpoint:
        return False
    part = file.with_suffix(".part")
    with part.open("w", encoding="ascii") as out:
        out.write(checkpoint + "\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
    return True


def last(folder: Path, slot: str) -> str | None:
    """Return what a slot served last; None where that is not known."""
    try:
        said = (folder / f"served-{slot}").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return said if DIGEST.fullmatch(said) else None
