"""Garbage collection: what no root needs goes, and nothing else.

A tree is renamed away before it is taken apart, and blobs go only after every tree that used them:
a cut leaves whole versions and what the next collection takes. It holds off pulls, whose blobs no
tree names yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import NodeError
from .manifests import files_of
from .store import ModelStore, remove_tree, sync_folder


def needed_by(store: ModelStore, roots: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """Return the checkpoints and the blobs that roots need. Nothing is removed on a doubt.

    Raises NodeError where a root's manifest is damaged: then it is not known what it needs.
    """
    checkpoints, blobs = set(roots.values()), set()
    for checkpoint in checkpoints:
        blobs.add(checkpoint)
        try:
            manifest = store.manifest(checkpoint)
        except NodeError as error:
            if error.code != "CHECKPOINT_NOT_HERE":
                raise
            continue  # pinned and not fetched yet
        blobs |= {file.digest for file in files_of(manifest)}
        blobs |= {digest for digest in (store.config_digest(checkpoint),) if digest}
    return checkpoints, blobs


def collect(
    store: ModelStore, told_roots: Callable[[], Mapping[str, str]], *, dry: bool = False
) -> dict[str, Any]:
    """Remove the trees and blobs that no root needs; returns what went.

    The roots are asked for only when nothing else changes the store: what was pinned while this
    waited is kept.
    """
    store.create()
    with store.collecting():
        roots = told_roots()
        checkpoints, blobs = needed_by(store, roots)
        kept_trees = {store.tree(c).name for c in checkpoints}
        trees = [p for p in sorted(store.trees.iterdir()) if p.name not in kept_trees]
        kept_blobs = {store.blob(b).name for b in blobs}
        spare = [p for p in sorted(store.blobs.iterdir()) if p.name not in kept_blobs]
        size = sum(p.stat().st_size for p in spare)
        gone = [p.name.replace("sha256-", "sha256:") for p in trees if not _is_part(p.name)]
        if not dry:
            for tree in trees:
                remove_tree(tree if _is_part(tree.name) else store.set_aside(tree))
            for blob in spare:
                blob.unlink()
            sync_folder(store.blobs)
    return {
        "schema": 1,
        "changed": bool(trees or spare) and not dry,
        "checkpoints": gone,
        "blobs": len(spare),
        "bytes": size,
        "kept": dict(sorted(roots.items())),
    }


def _is_part(name: str) -> bool:
    return name.startswith(".")
