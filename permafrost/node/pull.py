"""``pull``: make a checkpoint and its fingerprint present on this node.

Files come in parallel, each verified while it is written; a file that another version has is
linked, not fetched. The version becomes visible (its tree gets its name) only when every file is
there and right. A pull that was cut is run again and goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from . import baselines
from .errors import NodeError
from .manifests import files_of
from .reading import TreeFile
from .registry import RegistryReader
from .store import ModelStore

AT_ONCE = 4
"""Downloads at a time: enough to fill a link that one connection does not."""
SPARE_BYTES = 64 << 20
"""Left free on the disk besides what is fetched."""


def pull(
    checkpoint: str,
    store: ModelStore,
    registry: RegistryReader,
    fingerprint_file: Path,
    serving_class: Callable[[], dict[str, Any]],
    signers: baselines.Signers = None,
) -> dict[str, Any]:
    """Fetch what is missing or wrong and return what was done; a second run changes nothing.

    ``signers``: who must have signed the fingerprint; None where that is not demanded.
    """
    store.create()
    with store.adding():
        if not store.holds(checkpoint):
            store.keep_bytes(registry.manifest(checkpoint), checkpoint)
        files = files_of(store.manifest(checkpoint))
        config = store.config_digest(checkpoint)
        if config and not store.holds(config):
            store.keep_bytes(registry.blob(config), config)
        fetched = _fetch(files, store, registry)
        built = store.build_tree(checkpoint, files)
    recorded = baselines.follow(checkpoint, registry, fingerprint_file, serving_class, signers)
    return {
        "schema": 1,
        "changed": bool(fetched or built or recorded),
        "checkpoint": checkpoint,
        "files": len(files),
        "fetched_bytes": fetched,
    }


def _fetch(files: tuple[TreeFile, ...], store: ModelStore, registry: RegistryReader) -> int:
    """Fetch the blobs that are missing or wrong, several at once; returns how many bytes."""
    wanted = {file.digest: file for file in files}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pull") as pool:
        held = dict(zip(wanted, pool.map(store.holds, wanted), strict=True))
        missing = [file for digest, file in wanted.items() if not held[digest]]
        _require_room(store, sum(f.size - store.fetched_already(f.digest) for f in missing))
        running = [pool.submit(_fetch_one, file, store, registry) for file in missing]
        _await(running)
    return sum(file.size for file in missing)


def _fetch_one(file: TreeFile, store: ModelStore, registry: RegistryReader) -> None:
    with store.part(file.digest) as part:
        if store.blob(file.digest).exists():
            part.unlink()  # another pull brought it while we waited
            return
        registry.download(file.digest, file.size, part)
        store.keep(part, file.digest)


def _await(running: list[Future[None]]) -> None:
    """Wait for all; the first failure keeps those from starting that have not begun."""
    _, waiting = wait(running, return_when=FIRST_EXCEPTION)
    for future in waiting:
        future.cancel()
    for future in running:
        if not future.cancelled():
            future.result()


def _require_room(store: ModelStore, needed: int) -> None:
    free = shutil.disk_usage(store.blobs).free
    if needed and free < needed + SPARE_BYTES:
        raise NodeError(
            "DISK_FULL",
            f"{needed} bytes are to be fetched, {free} are free below {store.blobs}",
            "permafrost-node gc removes versions that nothing needs",
        )
