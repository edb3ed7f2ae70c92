"""What a checkpoint's manifest promises: its files, and its description of itself.

A manifest's bytes are what its digest says and its form may still be odd: whoever made it made it
wrong, and it is refused before anything is fetched or built.
"""

from __future__ import annotations

from typing import Any

from .documents import objects_in
from .errors import NodeError
from .reading import TreeFile
from .settings import check_digest

FILEPATH = "org.cncf.model.filepath"
MODEL = "application/vnd.cncf.model.manifest.v1+json"


def files_of(manifest: dict[str, Any]) -> tuple[TreeFile, ...]:
    """Return the files. Raises NodeError (NOT_A_CHECKPOINT, PATH_UNSAFE, DIGEST_INVALID)."""
    if manifest.get("artifactType") != MODEL:
        raise _none(f"artifactType is {manifest.get('artifactType')!r}")
    layers = objects_in(manifest, "layers")
    if not layers:
        raise _none("its manifest lists no files")
    return tuple(_file(layer) for layer in layers)


def config_of(manifest: dict[str, Any]) -> str | None:
    """Return the digest of a checkpoint's description of itself, None where it has none."""
    config = manifest.get("config")
    if config is None:
        return None
    digest = config.get("digest") if isinstance(config, dict) else None
    if not isinstance(digest, str):
        raise _none("its manifest names a config without a digest")
    return digest


def _file(layer: dict[str, Any]) -> TreeFile:
    annotations, digest, size = (layer.get(k) for k in ("annotations", "digest", "size"))
    path = annotations.get(FILEPATH) if isinstance(annotations, dict) else None
    if not isinstance(path, str) or not isinstance(digest, str):
        raise _none(f"its manifest lists a file {path!r} with the digest {digest!r}")
    if not isinstance(size, int) or size < 0:
        raise _none(f"its manifest says that {path!r} has {size!r} bytes")
    leaves = path.startswith("/") or any(p in ("", ".", "..") for p in path.split("/"))
    if leaves or not path.isprintable():
        raise NodeError(
            "PATH_UNSAFE",
            f"the manifest names the file {path!r}",
            "do not use it: ask who pushed it",
        )
    check_digest(digest)
    return TreeFile(path, digest, size)


def _none(why: str) -> NodeError:
    return NodeError("NOT_A_CHECKPOINT", why, "push the checkpoint again: `permafrost model push`")
