"""The build cache: ``<root>/<part>/<key>/``, each folder whole or absent.

A part is built under an exclusive lock in a temporary folder beside its final place and renamed
when whole, so a reader never sees half of one, and a builder that dies at any moment leaves only
a temporary folder that the next builder removes: whoever holds the lock knows that every
temporary folder of the part belongs to a dead one. The newest two folders of a part are kept, and
any that a running machine still uses.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.build.problem import BuildError

DEFAULT_ROOT = "/var/cache/permafrost"
KEPT = 2
_TEMPORARY = ".building-"
_GIB = 1024**3
_RESERVE_GIB = 1.0


def cache_root() -> Path:
    """Return the cache's folder: ``PERMAFROST_CACHE``, else the machine's own."""
    return Path(os.environ.get("PERMAFROST_CACHE") or DEFAULT_ROOT).absolute()


class Cache:
    """One cache folder. ``free_bytes`` and ``mounts`` are the machine's, seen anew each time."""

    def __init__(
        self,
        root: Path,
        *,
        free_bytes: Callable[[Path], int] | None = None,
        mounts: Callable[[], str] | None = None,
    ) -> None:
        self.root = root
        self._free_bytes = free_bytes or (lambda path: shutil.disk_usage(path).free)
        self._mounts = mounts or _read_mounts

    def entry(self, part: str, key: str) -> Path:
        """Return where a part of this key is, or will be."""
        return self.root / part / key

    def has(self, part: str, key: str) -> bool:
        """Say whether the part is there, whole."""
        return self.entry(part, key).is_dir()

    def log(self, part: str) -> Path:
        """Return the log of the part's latest build."""
        return self.root / part / "build.log"

    def require_free(self, what: str, gib: float) -> None:
        """Refuse to start a build that the disk cannot hold."""
        self.root.mkdir(parents=True, exist_ok=True)
        free = self._free_bytes(self.root) / _GIB
        if free < gib + _RESERVE_GIB:
            raise BuildError(
                "DISK_SHORT",
                f"{what} needs {gib + _RESERVE_GIB:.1f} GiB at {self.root}, {free:.1f} are free",
                "free some space, or set PERMAFROST_CACHE to a folder on a larger disk",
            )

    def ensure(
        self,
        part: str,
        key: str,
        build: Callable[[Path, Path], None],
        *,
        needs_gib: float = 0.0,
    ) -> Path:
        """Return the part's folder, building it with ``build(folder, log)`` when it is missing."""
        entry = self.entry(part, key)
        if not entry.is_dir():
            self.require_free(part, needs_gib)
            with self._locked(part):
                if not entry.is_dir():
                    self._build(part, entry, build)
        os.utime(entry)
        return entry

    def _build(self, part: str, entry: Path, build: Callable[[Path, Path], None]) -> None:
        folder = entry.parent
        for stale in folder.glob(f"{_TEMPORARY}*"):
            remove_tree(stale)
        log = self.log(part)
        log.write_bytes(b"")
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
        temporary.chmod(0o755)
        try:
            build(temporary, log)
            temporary.rename(entry)
        finally:
            if temporary.exists():
                remove_tree(temporary)
        os.utime(entry)
        self._prune(part, keep=entry)

    def _prune(self, part: str, keep: Path) -> None:
        entries = [p for p in (self.root / part).iterdir() if p.is_dir() and p != keep]
        entries = [p for p in entries if not p.name.startswith(".")]
        entries.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        mounts = self._mounts()
        for old in entries[KEPT - 1 :]:
            if str(old) not in mounts:
                # Renamed first: a removal that is cut short never leaves half an entry.
                doomed = old.with_name(f"{_TEMPORARY}{old.name}")
                old.rename(doomed)
                remove_tree(doomed)

    @contextmanager
    def _locked(self, part: str) -> Iterator[None]:
        folder = self.root / part
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def remove_tree(path: Path) -> None:
    """Remove a folder, never crossing into anything that is mounted below it."""
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode != 0:
        raise BuildError(
            "CACHE_REMOVE_FAILED", f"{path}: {done.stderr.strip()}", "remove the folder by hand"
        )


def _read_mounts() -> str:
    # Overlays name their lower folders in the options; bind mounts name theirs as the root.
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
