"""A directory of model files as one OCI artifact, by the ModelPack specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_registry import digests
from model_registry.digests import canonical_json
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.layout import OciLayout
from model_registry.manifests import invalid, layers_of
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
from model_registry.metadata.facts import Facts
from model_registry.metadata.gather import gather
from model_registry.meter import Meter


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One file of a checkpoint; its digest is the SHA-256 of its bytes."""

    path: str
    digest: str
    size: int
    media_type: str


def pack(
    folder: Path,
    layout: OciLayout,
    name: str,
    *,
    annotations: Mapping[str, str] | None = None,
    meter: Meter | None = None,
) -> str:
    """Store ``folder``, or one file, as checkpoint ``name``; return its manifest's digest, its id.

    What ``annotations`` say (lineage) becomes part of the manifest, and so of the id. ``meter`` is
    told of the bytes as they are stored.
    """
    files = plain_files(folder)
    facts = gather(files)  # first: a broken file is refused before anything is stored
    meter = _expecting(files, meter)
    stored = digests.side_by_side(
        lambda path: layout.add_file(path, meter), [path for _, path in files]
    )
    layers = [_layer(name, digest, path) for (name, path), digest in _with(files, stored)]
    manifest, config = _manifest(name, layers, facts, annotations)
    layout.add_bytes(config)
    return layout.add_manifest(manifest)


def identify(
    folder: Path,
    name: str,
    *,
    annotations: Mapping[str, str] | None = None,
    meter: Meter | None = None,
) -> str:
    """Return the id that ``pack`` would give; nothing is stored."""
    files = plain_files(folder)
    hashed = digests.of_files([path for _, path in files], _expecting(files, meter))
    layers = [_layer(name, digest, path) for (name, path), digest in _with(files, hashed)]
    manifest, _ = _manifest(name, layers, gather(files), annotations)
    return digests.of_bytes(canonical_json(manifest))


def _expecting(files: Sequence[tuple[str, Path]], meter: Meter | None) -> Meter:
    meter = meter or Meter()
    meter.expect(sum(path.stat().st_size for _, path in files))
    return meter


def _with(
    files: Sequence[tuple[str, Path]], found: Sequence[str]
) -> Iterator[tuple[tuple[str, Path], str]]:
    return zip(files, found, strict=True)


def pack_stored(
    files: Sequence[CheckpointFile],
    layout: OciLayout,
    name: str,
    annotations: Mapping[str, str],
) -> str:
    """Make a checkpoint of blobs that the layout holds already; return its id."""
    layers = [
        {
            "mediaType": f.media_type,
            "digest": f.digest,
            "size": f.size,
            "annotations": {FILEPATH: f.path},
        }
        for f in files
    ]
    if not any(f.media_type == WEIGHT for f in files):
        raise RegistryError(
            "WEIGHTS_MISSING",
            f"{name} holds no weight file",
            "it needs a .safetensors, .gguf, .onnx or other weight file",
        )
    facts = gather([(f.path, layout.blob_path(f.digest)) for f in files])
    manifest, config = _manifest(name, layers, facts, annotations)
    layout.add_bytes(config)
    return layout.add_manifest(manifest)


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
    facts: Facts,
    more: Mapping[str, str] | None,
) -> tuple[dict[str, Any], bytes]:
    config = canonical_json(_config(name, facts, [layer["digest"] for layer in layers]))
    annotations = {TITLE: name, **(more or {})}
    if facts.context_tokens is not None:
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
            "NOT_A_CHECKPOINT",
            f"the manifest's artifactType is {manifest.get('artifactType')!r}",
            "name a checkpoint: a container image or an artifact of others is none",
        )
    found = []
    for layer in layers_of(manifest):
        path = layer.annotations.get(FILEPATH, "")
        check_path(path)
        found.append(CheckpointFile(path, layer.digest, layer.size, layer.media_type))
    paths = {file.path for file in found}
    for file in found:
        if any(folder in paths for folder in _folders(file.path)):
            raise invalid(f"{file.path} lies in what is a file")
    if len(paths) < len(found):
        raise invalid("two layers are the same file")
    return tuple(found)


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def check_path(path: str) -> None:
    """Refuse a path that would leave the checkpoint's own tree, or cannot be told as text."""
    if (
        any(part in ("", ".", "..") for part in path.split("/"))
        or "\\" in path
        or not path.isprintable()  # a line break, a terminal's command, bytes that are no UTF-8
    ):
        raise RegistryRefused(
            "PATH_UNSAFE", f"a checkpoint names the file {path!r}", "give the file a plain name"
        )


def plain_files(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of a folder, sorted, or the one file that it is.

    Raises RegistryError where one is no plain file.
    """
    found = []
    is_folder = folder.is_dir()
    for path in sorted(folder.rglob("*")) if is_folder else [folder]:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RegistryError(
                "FILE_UNUSUAL", f"{path} is not a plain file", "a checkpoint holds plain files"
            )
        if path.is_file():
            name = path.relative_to(folder).as_posix() if is_folder else path.name
            check_path(name)
            found.append((name, path))
    if not any(layer_type(relative) == WEIGHT for relative, _ in found):
        raise RegistryError(
            "WEIGHTS_MISSING",
            f"{folder} holds no weight file",
            "it needs a .safetensors, .gguf, .onnx or other weight file",
        )
    return sorted(found)


def _config(name: str, facts: Facts, diff_ids: list[str]) -> dict[str, Any]:
    said = {
        "architecture": facts.architecture,
        "format": facts.format,
        "paramSize": str(facts.parameters or ""),
        "precision": facts.precision,
        "quantization": facts.quantisation,
        "tokenizer": facts.tokenizer,
    }
    model = {key: value for key, value in said.items() if value}
    descriptor: dict[str, Any] = {"name": name}
    if facts.family:
        descriptor["family"] = facts.family
    if facts.licence:
        descriptor["licenses"] = [facts.licence]
    return {
        "descriptor": descriptor,
        "modelfs": {"type": "layers", "diffIds": diff_ids},
        "config": model,
    }
