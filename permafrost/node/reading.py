"""Reading files to the last byte: is what lies there what a manifest promises?

Files are read side by side, on all cores; hashing leaves the interpreter to others. Whoever waits
is told how far it is, so that a large checkpoint is told from a disk that hangs.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .errors import NodeError

_LOST = (errno.EIO, errno.EBADMSG, errno.EUCLEAN)
"""What a read fails with where the disk, or the file system's check of it, has lost bytes."""
_WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_A_CORE = 2
"""Files at a time for each core: one is hashed while the other waits for the disk."""
Progress = Callable[[int], None]


@dataclass(frozen=True)
class TreeFile:
    """One file that a manifest promises."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file: a stable code, and a sentence that names it."""

    code: str
    what: str


def damages(
    tree: Path,
    files: Sequence[TreeFile],
    *,
    from_disk: bool = False,
    progress: Progress = lambda _: None,
) -> list[Damage]:
    """Return what is wrong with a tree: files missing, foreign, writable or not as promised.

    ``progress`` is given the bytes that were read since it was called last, by any thread.
    """

    def one(file: TreeFile) -> Damage | None:
        return _damage(tree / file.path, file, from_disk=from_disk, progress=progress)

    ordered = sorted(files, key=lambda file: -file.size)  # the largest decides how long it takes
    at_once = _A_CORE * (os.cpu_count() or 1)
    with ThreadPoolExecutor(at_once, thread_name_prefix="read") as pool:
        seen = dict(zip((file.path for file in ordered), pool.map(one, ordered), strict=True))
    found = [damage for file in files if (damage := seen[file.path]) is not None]
    promised = {file.path for file in files}
    found += [
        Damage("CHECKPOINT_FILE_FOREIGN", f"{path} is not part of the checkpoint")
        for path in sorted(tree.rglob("*"))
        if (path.is_symlink() or not path.is_dir())
        and path.relative_to(tree).as_posix() not in promised
    ]
    return found


def refusal(found: Sequence[Damage], hint: str) -> NodeError:
    """Return the error for a tree that is damaged: the code of what is worst, every file named.

    Other bytes are worse than missing ones: a cut or a lost disk takes bytes away, but changes
    none.
    """
    codes = {damage.code for damage in found}
    code = next((c for c in WORST_FIRST if c in codes), "CHECKPOINT_BYTES_WRONG")
    return NodeError(code, "; ".join(damage.what for damage in found), hint)


WORST_FIRST = (
    "CHECKPOINT_BYTES_WRONG",
    "CHECKPOINT_FILE_FOREIGN",
    "CHECKPOINT_FILE_WRITABLE",
    "CHECKPOINT_FILE_TRUNCATED",
    "CHECKPOINT_FILE_UNREADABLE",
    "CHECKPOINT_FILE_MISSING",
)


def _damage(path: Path, file: TreeFile, *, from_disk: bool, progress: Progress) -> Damage | None:
    """Return what is wrong with one file. What cannot be read is wrong."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            return Damage("CHECKPOINT_FILE_FOREIGN", f"{path} is not a plain file")
        if facts.st_mode & _WRITE_BITS:
            return Damage("CHECKPOINT_FILE_WRITABLE", f"{path} is writable")
        if facts.st_size != file.size:
            shorter = facts.st_size < file.size
            return Damage(
                "CHECKPOINT_FILE_TRUNCATED" if shorter else "CHECKPOINT_BYTES_WRONG",
                f"{path} has {facts.st_size} bytes instead of {file.size}",
            )
        if digest_of(path, from_disk=from_disk, progress=progress) != file.digest:
            return Damage("CHECKPOINT_BYTES_WRONG", f"{path} holds other bytes than {file.digest}")
    except (FileNotFoundError, NotADirectoryError):
        return Damage("CHECKPOINT_FILE_MISSING", f"{path} is missing")
    except OSError as error:
        return Damage("CHECKPOINT_FILE_UNREADABLE", unreadable(path, error))
    return None


def unreadable(path: Path, error: OSError) -> str:
    """Return a sentence for a read that failed: the system's error names no file."""
    return f"{path} cannot be read: {error.strerror or error}"


def reads_as(path: Path, digest: str) -> bool:
    """Whether a file's bytes are what a digest says; bytes that the disk has lost are not."""
    try:
        return digest_of(path) == digest
    except OSError as error:
        if error.errno in _LOST:
            return False
        raise


def digest_of(path: Path, *, from_disk: bool = False, progress: Progress = lambda _: None) -> str:
    """Return the digest of a file's bytes.

    ``from_disk`` lets go of what the page cache holds first, as far as nobody has it mapped.
    """
    with _Watched(path, progress) as file:
        if from_disk:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found = hashlib.file_digest(file, "sha256")
    return f"sha256:{found.hexdigest()}"


class _Watched(io.FileIO):
    """A file that tells how much of it was read. The system reads ahead of it by itself."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(path, "rb")
        self._progress = progress

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        """Read into a buffer; returns how many bytes."""
        count = super().readinto(buffer) or 0
        self._progress(count)
        return count
