"""Files that run code when they are loaded: Python's pickle, under whatever name.

Loading a pickle executes what it says, so a checkpoint that holds one is refused unless a person
allows it, and then stays marked. Nothing is unpickled here: opcodes are read, never obeyed.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path

_NAMES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".mar")
_LOOK = 1 << 16
_ENOUGH = 3


def unsafe_files(files: Iterable[tuple[str, Path]]) -> tuple[str, ...]:
    """Return which of the files (name, where it lies) are or hold a pickle."""
    return tuple(sorted(name for name, path in files if _is_unsafe(name, path)))


def has_unsafe_name(name: str) -> bool:
    """Whether a file's name alone says that it is a pickle."""
    return name.lower().endswith(_NAMES)


def _is_unsafe(name: str, path: Path) -> bool:
    if has_unsafe_name(name):
        return True
    with path.open("rb") as file:
        start = file.read(_LOOK)
    if start.startswith(b"PK"):
        return _zip_holds_pickle(path)
    return _is_pickle(start)


def _is_pickle(start: bytes) -> bool:
    if len(start) < 2 or start[0] != 0x80 or not 2 <= start[1] <= 5:
        return False
    # A safetensors file may begin with these two bytes too; its next ones are no opcodes
    seen = 0
    try:
        for _ in pickletools.genops(io.BytesIO(start)):
            seen += 1
            if seen >= _ENOUGH:
                return True
    except ValueError:
        return len(start) == _LOOK and seen > 1  # cut off by us within a long argument
    return True


def _zip_holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(_NAMES) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
