"""The node's model store: blobs under their digest, one read-only tree for each checkpoint.

Invariant: a name below ``blobs`` or ``trees`` appears only when all its bytes are on disk. Both
are written beside, synced and renamed. The files of a tree are hard links to blobs, so a version
that shares files with another costs nothing. Whether the bytes *still* are what the name says is
never assumed: ``verify`` reads them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .documents import json_object
from .errors import NodeError
from .manifests import config_of, files_of
from .reading import Progress, TreeFile, damages, reads_as, refusal, unreadable
from .settings import check_digest


class ModelStore:
    """The folder of all checkpoints of this node."""

    def __init__(self, root: Path) -> None:
        self.blobs = root / "blobs" / "sha256"
        self.trees = root / "trees"

    def create(self) -> None:
        """Make the folders."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.trees.mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        """Return where a blob lies, or would."""
        return self.blobs / check_digest(digest)

    def tree(self, checkpoint: str) -> Path:
        """Return where a checkpoint's tree lies, or would."""
        return self.trees / f"sha256-{check_digest(checkpoint)}"

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Hold off a collection for a block; other pulls go on."""
        with _locked(self.blobs.parents[1], fcntl.LOCK_SH):
            yield

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Hold off every pull for a block."""
        with _locked(self.blobs.parents[1], fcntl.LOCK_EX):
            yield

    @contextmanager
    def part(self, digest: str) -> Iterator[Path]:
        """Yield the file into which a blob is fetched; one writer at a time over all processes."""
        with alone(self.blobs / f".{check_digest(digest)}.part") as path:
            yield path

    def fetched_already(self, digest: str) -> int:
        """Return how many bytes of a blob an earlier pull has left."""
        try:
            return (self.blobs / f".{check_digest(digest)}.part").stat().st_size
        except FileNotFoundError:
            return 0

    def config_digest(self, checkpoint: str) -> str | None:
        """Return the digest of a checkpoint's description of itself, None where it has none."""
        return config_of(self.manifest(checkpoint))

    def holds(self, digest: str) -> bool:
        """Whether the blob is there and its bytes are right; wrong ones are removed."""
        path = self.blob(digest)
        if not path.is_file():
            return False
        if reads_as(path, digest):
            return True
        with self.part(digest) as part:  # only who holds this gives a blob its name
            if not path.is_file() or not reads_as(path, digest):
                path.unlink(missing_ok=True)
                return False
            part.unlink()
        return True  # another pull has brought it meanwhile

    def keep_bytes(self, content: bytes, digest: str) -> None:
        """Store a small blob whose bytes were verified."""
        with self.part(digest) as part:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self.keep(part, digest)

    def keep(self, part: Path, digest: str) -> None:
        """Give a synced, verified file its name."""
        part.chmod(0o444)
        part.replace(self.blob(digest))
        sync_folder(self.blobs)

    def manifest(self, checkpoint: str) -> dict[str, Any]:
        """Return a checkpoint's manifest, verified against its digest."""
        path = self.blob(checkpoint)
        if not path.is_file():
            raise NodeError(
                "CHECKPOINT_NOT_HERE", f"{checkpoint} was never fetched", "permafrost-node pull"
            )
        try:
            content = path.read_bytes()
        except OSError as error:
            raise NodeError(
                "CHECKPOINT_FILE_UNREADABLE",
                unreadable(path, error),
                "permafrost-node pull fetches it again; look at the disk",
            ) from error
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != checkpoint:
            raise NodeError(
                "CHECKPOINT_MANIFEST_WRONG",
                f"{path}: the manifest's bytes are not {checkpoint}",
                "permafrost-node pull fetches it again",
            )
        return json_object(content, "NOT_A_CHECKPOINT", f"the content of {checkpoint}")

    def build_tree(self, checkpoint: str, files: tuple[TreeFile, ...]) -> bool:
        """Make the checkpoint's tree unless it is there and right; returns whether it was made.

        One builder of a checkpoint at a time over all processes: the second finds it made.
        """
        with alone(self.blobs / f".{check_digest(checkpoint)}.building") as lock:
            try:
                return self._build_tree(self.tree(checkpoint), files)
            finally:
                lock.unlink()

    def _build_tree(self, target: Path, files: tuple[TreeFile, ...]) -> bool:
        if target.exists() and not damages(target, files):
            target.chmod(0o555)  # a pull may have been cut just before
            return False
        part = self.trees / f".{target.name}.part"
        remove_tree(part)
        for file in files:
            place = part / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(self.blob(file.digest))
        for folder in sorted((p for p in part.rglob("*") if p.is_dir()), reverse=True):
            sync_folder(folder)
            folder.chmod(0o555)
        sync_folder(part)
        aside = self.set_aside(target) if target.exists() else None
        part.replace(target)
        target.chmod(0o555)  # only now: renaming a folder writes to it
        sync_folder(self.trees)
        if aside:
            remove_tree(aside)
        return True

    def set_aside(self, tree: Path) -> Path:
        """Take a tree's visible name away in one step; returns where it lies to be taken apart."""
        aside = tree.with_name(f".{tree.name}.removed")
        remove_tree(aside)
        tree.chmod(0o755)  # renaming a folder writes to it
        tree.replace(aside)
        sync_folder(self.trees)
        return aside

    def verify(
        self,
        checkpoint: str,
        *,
        from_disk: bool = False,
        progress: Progress = lambda _: None,
    ) -> tuple[TreeFile, ...]:
        """Read every byte of a checkpoint's tree. Raises NodeError naming each wrong file.

        ``from_disk`` lets go of what the page cache holds first, as far as nobody has it mapped.
        """
        files = files_of(self.manifest(checkpoint))
        tree = self.tree(checkpoint)
        if not tree.is_dir():
            raise NodeError(
                "CHECKPOINT_NOT_HERE", f"{tree} is missing", f"permafrost-node pull {checkpoint}"
            )
        if found := damages(tree, files, from_disk=from_disk, progress=progress):
            hint = f"permafrost-node pull {checkpoint} fetches what is wrong again"
            raise refusal(found, hint)
        return files


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """Hold a file against every other process; who has it may rename or unlink it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
            break
        os.close(handle)  # whoever had it has given it its name: begin again
    try:
        yield path
    finally:
        os.close(handle)


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(tree: Path) -> None:
    """Remove a tree whose folders may be read-only."""
    if not tree.exists():
        return
    for folder in (tree, *(p for p in tree.rglob("*") if p.is_dir() and not p.is_symlink())):
        folder.chmod(0o755)
    shutil.rmtree(tree)
