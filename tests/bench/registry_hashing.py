"""Hashing of the model registry against all cores that do nothing else, and public tools."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.table import Table

from model_registry.checkpoint import files_of, identify, pack
from model_registry.layout import OciLayout
from model_registry.verify import verify
from tests.bench.pairs import Work, against, own_seconds

MIB = 1 << 20
ROUNDS = 9


def hashing_tables(source: Path, folder: Path) -> list[Table]:
    """Measure from the page cache and from disk.

    The baseline's processes are there before the clock starts, and hash the very files that the
    other way reads: those of the store for `verify`, the plain ones for the rest.
    """
    layout = OciLayout.create(folder / "hashing")
    checkpoint = pack(source, layout, "bench")
    plain = sorted(source.iterdir())
    stored = [layout.blob_path(f.digest) for f in files_of(layout.read_json(checkpoint))]
    size = sum(p.stat().st_size for p in plain)
    cached, cold = _table("page cache", plain, size), _table("disk", plain, size)
    with _cores() as (hashed, used):
        for paths, ways in (
            (plain, _plain_ways(source, plain)),
            (stored, {"verify": lambda: verify(layout, checkpoint)}),
        ):
            for table, before in ((cached, _nothing), (cold, _forgetting(paths))):
                found = against(partial(hashed, paths), ways, ROUNDS, before=before, used=used)
                for name, seen in found.items():
                    table.add_row(
                        name, f"{size / MIB / seen.seconds:.0f}", f"{seen.ratio:.2f}",
                        f"{seen.low:.2f} to {seen.high:.2f}", f"{seen.processor_ratio:.2f}",
                    )  # fmt: skip
    return [cached, cold]


def _plain_ways(source: Path, paths: Sequence[Path]) -> dict[str, Work]:
    from model_signing import hashing

    return {
        "sha256sum, one a core": lambda: _sha256sum(paths),
        "model_signing": lambda: hashing.Config().hash(source),
        "identify": lambda: identify(source, "bench"),
    }


@contextmanager
def _cores() -> Iterator[tuple[Callable[[Sequence[Path]], None], Callable[[], float]]]:
    """Yield what hashes files on all cores, and what tells the processor seconds of it and us."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        pids = set(pool.map(_pid, range(64), chunksize=1))

        def hashed(paths: Sequence[Path]) -> None:
            list(pool.map(_hash, paths))

        yield hashed, lambda: own_seconds() + sum(map(_used_by, pids))


def _pid(_: int) -> int:
    return os.getpid()


def _used_by(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _sha256sum(paths: Sequence[Path]) -> None:
    subprocess.run(
        ["xargs", "-0", "-n1", f"-P{os.cpu_count()}", "sha256sum"],
        input="\0".join(map(str, paths)).encode(), check=True, capture_output=True,
    )  # fmt: skip


def _nothing() -> None:
    """The files stay in the page cache, where the measurement before has put them."""


def _forgetting(paths: Sequence[Path]) -> Work:
    """Return what takes files out of the page cache, so that the disk is read."""

    def forget() -> None:
        for path in paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    return forget


def _table(place: str, paths: Sequence[Path], size: int) -> Table:
    table = Table(
        title=f"{len(paths)} files, {size / MIB:.0f} MiB, from {place}, against all "
        f"{os.cpu_count()} cores hashing (lab)"
    )
    for heading in ("way", "MiB/s", "ratio", "half of them", "of processor time"):
        table.add_column(heading, justify="right")
    return table
