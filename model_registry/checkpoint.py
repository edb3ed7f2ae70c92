"""A directory of model files as one OCI artifact, by the ModelPack specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_registry import digests, gguf
from model_registry.digests import canonical_json
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.media_types import (
    CONTEXT_TOKENS,
    FILEPATH,
    IMAGE_MANIFEST,
    MODEL,
    MODEL_CONFIG,
    TITLE,
    WEIGHT,
    layer_type,
)


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One file of a checkpoint; its digest is the SHA-256 of its bytes."""

    path: str
    digest: str
    size: int
    media_type: str


def pack(
    folder: Path, layout: OciLayout, name: str, *, annotations: Mapping[str, str] | None = None
) -> str:
    """Store ``folder`` as checkpoint ``name`` and return its id, the digest of its manifest.

    What ``annotations`` say (lineage) becomes part of the manifest, and so of the id.
    """
    files = plain_files(folder)
    layers = [_layer(relative, layout.add_file(path), path) for relative, path in files]
    manifest, config = _manifest(name, layers, _gguf_facts(files), annotations)
    layout.add_bytes(config)
    return layout.add_manifest(manifest)


def identify(folder: Path, name: str, *, annotations: Mapping[str, str] | None = None) -> str:
    """Return the id that ``pack`` would give; nothing is stored."""
    files = plain_files(folder)
    layers = [_layer(relative, digests.of_file(path), path) for relative, path in files]
    manifest, _ = _manifest(name, layers, _gguf_facts(files), annotations)
    return digests.of_bytes(canonical_json(manifest))


def _layer(relative: str, digest: str, path: Path) -> dict[str, Any]:
    return {
        "mediaType": layer_type(relative),
        "digest": digest,
        "size": path.stat().st_size,
        "annotations": {FILEPATH: relative},
    }


def _manifest(
    name: str,
    layers: list[dict[str, Any]],
    facts: gguf.GgufFacts | None,
    more: Mapping[str, str] | None,
) -> tuple[dict[str, Any], bytes]:
    config = canonical_json(_config(name, facts, [layer["digest"] for layer in layers]))
    annotations = {TITLE: name, **(more or {})}
    if facts is not None and facts.context_tokens is not None:
        annotations[CONTEXT_TOKENS] = str(facts.context_tokens)
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": MODEL,
        "config": {
            "mediaType": MODEL_CONFIG,
            "digest": digests.of_bytes(config),
            "size": len(config),
        },
        "layers": layers,
        "annotations": annotations,
    }
    return manifest, config


def files_of(manifest: dict[str, Any]) -> tuple[CheckpointFile, ...]:
    """Return the files that a manifest names. Raises RegistryError where it is no checkpoint."""
    if manifest.get("artifactType") != MODEL:
        raise RegistryError(
            "NOT_A_CHECKPOINT", f"the manifest's artifactType is {manifest.get('artifactType')!r}"
        )
    found = tuple(
        CheckpointFile(
            path=layer["annotations"][FILEPATH],
            digest=layer["digest"],
            size=layer["size"],
            media_type=layer["mediaType"],
        )
        for layer in manifest["layers"]
    )
    for file in found:
        check_path(file.path)
    return found


def check_path(path: str) -> None:
    """Refuse a path that would leave the checkpoint's own tree."""
    parts = path.split("/")
    if (
        not path
        or path.startswith("/")
        or "\\" in path
        or any(p in ("", ".", "..") for p in parts)
    ):
        raise RegistryError("PATH_UNSAFE", f"a checkpoint names the file {path!r}")


def plain_files(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of a folder, sorted. Raises RegistryError where one is no plain file."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RegistryError(
                "FILE_UNUSUAL", f"{path} is not a plain file", "a checkpoint holds plain files"
            )
        if path.is_file():
            found.append((path.relative_to(folder).as_posix(), path))
    if not any(layer_type(relative) == WEIGHT for relative, _ in found):
        raise RegistryError("WEIGHTS_MISSING", f"{folder} holds no weight file")
    return sorted(found)


def _gguf_facts(files: list[tuple[str, Path]]) -> gguf.GgufFacts | None:
    first = next((path for relative, path in files if relative.endswith(".gguf")), None)
    return None if first is None else gguf.read(first)


def _config(name: str, facts: gguf.GgufFacts | None, diff_ids: list[str]) -> dict[str, Any]:
    model: dict[str, str] = {}
    descriptor = {"name": name}
    if facts is not None:
        model = {
            "architecture": facts.architecture,
            "format": "gguf",
            "paramSize": str(facts.parameters),
            "quantization": facts.quantization,
        }
        descriptor["family"] = facts.architecture
    return {
        "descriptor": descriptor,
        "modelfs": {"type": "layers", "diffIds": diff_ids},
        "config": model,
    }
