"""Looking at models, and adding them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_registry.adding import Added, add
from model_registry.ancestry import Relative, ancestors, descendants
from model_registry.catalogue.chain import Event
from model_registry.catalogue.clock import parse
from model_registry.catalogue.history import Held, held_at, of_name
from model_registry.catalogue.model import Stage, Version
from model_registry.checkpoint import files_of
from model_registry.differing import Difference, differ
from model_registry.lineage import from_text
from model_registry.media_types import CONTEXT_TOKENS
from model_registry.meter import Meter
from model_registry.rebuilding import Rebuilt, rebuild
from model_registry.registry import Registry
from permafrost.adapters.models import open_models, translated
from permafrost.errors import Problem, Refused

__all__ = ["open_models"]


@translated()
def add_model(
    registry: Registry,
    folder: Path,
    label: str,
    *,
    lineage: Path | None,
    allow_unsafe: bool,
    why: str,
    meter: Meter | None = None,
) -> Added:
    """Register a folder as ``NAME:VERSION``."""
    name, colon, version = label.rpartition(":")
    if not colon:
        hint = "for example `assistant:1.2.0`"
        raise Refused(Problem("REFERENCE_INVALID", f"{label!r} is not NAME:VERSION", hint=hint))
    return add(
        registry,
        folder,
        name,
        version,
        lineage=from_text(_read(lineage)) if lineage else None,
        allow_unsafe=allow_unsafe,
        why=why,
        meter=meter,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            Problem(
                "LINEAGE_UNREADABLE",
                f"cannot read {path}: {error.strerror}",
                hint="name a readable JSON file with --lineage",
            )
        ) from None


@translated()
def list_models(registry: Registry, name: str | None = None) -> tuple[Version, ...]:
    """Return all versions, or those of one name."""
    return registry.catalogue.versions(name)


@translated()
def show_model(registry: Registry, reference: str) -> dict[str, Any]:
    """Return all that is known of one version."""
    version = registry.resolve(reference)
    found: dict[str, Any] = {
        **version.as_dict(),
        "lineage": registry.catalogue.lineages().get(version.digest),
        "pinned_by": sorted(
            owner
            for owner, pins in registry.catalogue.pins().items()
            if version.digest in pins.values()
        ),
    }
    if version.is_present:
        manifest = registry.layout.read_json(version.digest)
        config = registry.layout.read_json(manifest["config"]["digest"])
        files = files_of(manifest)
        found["model"] = _facts(manifest, config)
        found["bytes"] = sum(f.size for f in files)
        found["files"] = [{"path": f.path, "digest": f.digest, "size": f.size} for f in files]
    return found


def _facts(manifest: dict[str, Any], config: dict[str, Any]) -> dict[str, str]:
    found = {key: str(value) for key, value in config.get("config", {}).items()}
    if context := manifest.get("annotations", {}).get(CONTEXT_TOKENS):
        found["contextTokens"] = context
    if licences := config.get("descriptor", {}).get("licenses"):
        found["licence"] = ", ".join(licences)
    return found


@translated()
def model_lineage(registry: Registry, reference: str, *, down: bool = False) -> Relative:
    """Return the tree of what a version was made from, or of what was made from it."""
    draw = descendants if down else ancestors
    return draw(registry, registry.resolve(reference).digest)


@translated()
def model_history(registry: Registry, name: str) -> tuple[Event, ...]:
    """Return all that was done to a name. Refused where nothing ever was."""
    events = of_name(registry.catalogue.events(), name)
    if not events:
        raise Refused(Problem("NAME_UNKNOWN", f"nothing is called {name}", hint="see `list`"))
    return events


@translated()
def model_at(registry: Registry, name: str, stage: Stage, at: str) -> Held | None:
    """Return what held a stage of a name at a time."""
    model_history(registry, name)
    return held_at(registry.catalogue.events(), name, stage, parse(at))


@translated()
def diff_models(registry: Registry, one: str, other: str) -> Difference:
    """Return how two versions differ."""
    return differ(registry.layout, registry.resolve(one).digest, registry.resolve(other).digest)


@translated()
def rebuild_catalogue(registry: Registry, why: str, meter: Meter | None = None) -> Rebuilt:
    """Register what the content names and the catalogue does not know, every byte read."""
    return rebuild(registry, why=why, meter=meter)
