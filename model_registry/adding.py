"""A folder becomes an immutable version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_registry import manifests
from model_registry.catalogue.model import check_name, check_version
from model_registry.checkpoint import files_of, identify, pack, plain_files
from model_registry.digests import canonical_json
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.layout import OciLayout
from model_registry.lineage import Lineage, Method, from_text
from model_registry.media_types import LINEAGE, UNSAFE
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.unsafe import unsafe_files
from model_registry.verify import verify

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Added:
    """A version, and whether it is new (or its content came back)."""

    name: str
    version: str
    digest: str
    is_new: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "changed": self.is_new,
        }


def add(
    registry: Registry,
    folder: Path,
    name: str,
    version: str,
    *,
    lineage: Lineage | None = None,
    allow_unsafe: bool = False,
    why: str = "",
    meter: Meter | None = None,
) -> Added:
    """Store a folder, or one file, and register it as a candidate.

    Refused before anything is stored. The same files again mend what is damaged in the store.
    ``meter`` is told of bytes as they are read.
    """
    check_name(name)
    check_version(version)
    if not folder.is_dir() and not folder.is_file():
        raise RegistryRefused(
            "FOLDER_MISSING",
            f"{folder} is no folder and no file",
            "name the checkpoint's folder, or its one file",
        )
    files = plain_files(folder)
    unsafe = unsafe_files(files)
    refuse_unsafe(f"{name}:{version}", unsafe, allow_unsafe)
    _require_base([relative for relative, _ in files], lineage)
    annotations = annotations_of(lineage, unsafe)
    with registry.adding():
        require_parents(registry, lineage)
        known = next((v for v in registry.catalogue.versions(name) if v.version == version), None)
        if known is not None and known.is_present:
            # Told before it is stored, so that a refusal leaves nothing behind
            digest = identify(folder, name, annotations=annotations, meter=meter)
            if digest == known.digest and not _is_whole(registry.layout, digest):
                pack(folder, registry.layout, name, annotations=annotations, meter=meter)
        else:
            digest = pack(folder, registry.layout, name, annotations=annotations, meter=meter)
        is_new = registry.catalogue.register(
            name,
            version,
            digest,
            why=why,
            unsafe=unsafe,
            lineage=lineage.as_dict() if lineage else None,
        )
        registry.layout.tag(digest, f"{name}:{version}")
    return Added(name, version, digest, is_new)


def register_content(
    registry: Registry, name: str, version: str, digest: str, *, source: str, why: str = ""
) -> Added:
    """Register a checkpoint whose manifest and blobs the layout holds already."""
    manifest = registry.layout.read_json(digest)
    require_sizes(registry.layout, manifest)
    unsafe = unsafe_content(registry, manifest)
    lineage = lineage_of(manifest)
    is_new = registry.catalogue.register(
        name,
        version,
        digest,
        why=why,
        unsafe=unsafe,
        lineage=lineage.as_dict() if lineage else None,
        source=source,
    )
    registry.layout.tag(digest, f"{name}:{version}")
    return Added(name, version, digest, is_new)


def lineage_of(manifest: dict[str, Any]) -> Lineage | None:
    """Return the lineage that a manifest carries."""
    text = manifests.annotations_of(manifest).get(LINEAGE)
    return None if text is None else from_text(text)


def require_sizes(layout: OciLayout, manifest: dict[str, Any]) -> None:
    """Refuse a manifest that promises other sizes than its blobs have: nobody could load it."""
    for blob in (manifests.config_of(manifest), *manifests.layers_of(manifest)):
        if layout.size(blob.digest) != blob.size:
            raise manifests.invalid(
                f"{blob.digest} has {layout.size(blob.digest)} bytes, not {blob.size}"
            )


def unsafe_content(registry: Registry, manifest: dict[str, Any]) -> tuple[str, ...]:
    """Return the unsafe files of a stored checkpoint, by their bytes as well as by its word."""
    marked = manifests.annotations_of(manifest).get(UNSAFE, "")
    files = [(f.path, registry.layout.blob_path(f.digest)) for f in files_of(manifest)]
    return tuple(sorted({*unsafe_files(files), *(marked.split("\n") if marked else ())}))


def refuse_unsafe(what: str, unsafe: Sequence[str], allow_unsafe: bool) -> None:
    """Refuse what runs code when it is loaded, unless a person allowed it."""
    if unsafe and not allow_unsafe:
        raise RegistryRefused(
            "UNSAFE_SERIALISATION",
            f"{what}: loading {', '.join(unsafe)} runs what it says (pickle)",
            "convert it to safetensors, or --allow-unsafe, which marks the version",
        )


def require_parents(registry: Registry, lineage: Lineage | None) -> None:
    """Refuse a lineage with a parent that is neither registered nor declared outside."""
    known = {v.digest for v in registry.catalogue.versions()}
    for parent in lineage.parents if lineage else ():
        if parent.digest not in known and not parent.is_outside:
            raise RegistryRefused(
                "PARENT_UNKNOWN",
                f"no version is {parent.digest} ({parent.name or 'a parent'})",
                "register the parent first, or declare it as outside",
            )


def _require_base(files: Sequence[str], lineage: Lineage | None) -> None:
    is_adapter = lineage is not None and lineage.method is Method.ADAPTER
    if ADAPTER_CONFIG in files and not is_adapter:
        raise RegistryRefused(
            "ADAPTER_BASE_MISSING",
            f"{ADAPTER_CONFIG} makes it an adapter, and nothing pins its base",
            "give it a lineage with method adapter and its base by digest",
        )


def _is_whole(layout: OciLayout, digest: str) -> bool:
    try:
        layout.read(layout.read_json(digest)["config"]["digest"])
        return verify(layout, digest).holds
    except RegistryError:
        return False


def annotations_of(lineage: Lineage | None, unsafe: Sequence[str]) -> dict[str, str]:
    """Return what a manifest says beside its files: lineage, and the mark of unsafe ones."""
    found = {}
    if lineage is not None:
        found[LINEAGE] = canonical_json(lineage.as_dict()).decode()
    if unsafe:
        found[UNSAFE] = "\n".join(unsafe)
    return found
