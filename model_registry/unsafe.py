"""Files that run code when they are loaded: Python's pickle, under whatever name.

Loading a pickle executes what it says, so a checkpoint that holds one is refused unless a person
allows it, and then stays marked. Nothing is unpickled here: opcodes are read, never obeyed.
Archives (zip: torch, NumPy's npz; tar: older torch) are looked into, one level deep.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from model_registry.pickles import LOOK, is_pickle

_NAMES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".mar")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError)


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
        start = file.read(LOOK)
    if start.startswith(b"PK"):
        return _zip_holds_pickle(path)
    return is_pickle(start) or _tar_holds_pickle(path)


def _zip_holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(has_unsafe_name(member.filename) for member in members):
                return True
            return any(is_pickle(_start(archive, member)) for member in members)
    except _UNREADABLE:
        return False


def _start(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return file.read(LOOK)
    except _UNREADABLE:  # encrypted, or broken: the others are looked at all the same
        return b""


def _tar_holds_pickle(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                if has_unsafe_name(member.name) or (file and is_pickle(file.read(LOOK))):
                    return True
    except (tarfile.TarError, OSError, ValueError):
        return False
    return False
