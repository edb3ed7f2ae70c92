"""`models.lock`: which bytes ``name@stage`` meant when somebody last looked and agreed.

What the lock names is pinned in the catalogue before the file is written and released after, so
the content of a lock that somebody may still read is never collected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_registry.digests import DIGEST
from model_registry.errors import RegistryRefused

if TYPE_CHECKING:
    from model_registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Locked:
    """What one reference stands for."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Step:
    """How one reference changes; None where it was, or is, not in the lock."""

    reference: str
    before: Locked | None
    after: Locked | None


def read_lock(path: Path) -> dict[str, Locked]:
    """Return what a lock says; nothing where there is no file. Refused where it is none."""
    try:
        document = json.loads(path.read_bytes())
        found = {
            str(reference): Locked(str(entry["version"]), str(entry["digest"]))
            for reference, entry in document["models"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryRefused(
            "LOCK_INVALID",
            f"{path} is no models.lock: {error}",
            "put it back from version control, or `permafrost model lock --update`",
        ) from error
    for locked in found.values():
        if DIGEST.fullmatch(locked.digest) is None:
            raise RegistryRefused(
                "LOCK_INVALID",
                f"{path}: {locked.digest!r} is no digest",
                "put it back from version control, or `permafrost model lock --update`",
            )
    return found


def resolve_lock(registry: Registry, references: Iterable[str]) -> dict[str, Locked]:
    """Return what references stand for now. Refused where one stands for nothing."""
    found = {}
    for reference in sorted(set(references)):
        version = registry.resolve(reference)
        found[reference] = Locked(version.version, version.digest)
    return found


def difference(before: Mapping[str, Locked], after: Mapping[str, Locked]) -> tuple[Step, ...]:
    """Return what changes from one lock to another."""
    return tuple(
        Step(reference, before.get(reference), after.get(reference))
        for reference in sorted(before.keys() | after.keys())
        if before.get(reference) != after.get(reference)
    )


def write_lock(
    registry: Registry, path: Path, wanted: Mapping[str, Locked], *, owner: str, why: str = ""
) -> None:
    """Pin what is wanted beside what was, replace the file, release what is no longer wanted."""
    held = registry.catalogue.pins().get(owner, {})
    old = {f"{reference} (before)": digest for reference, digest in held.items()}
    new = {reference: locked.digest for reference, locked in wanted.items()}
    registry.catalogue.pin(owner, {**old, **new}, why=why)
    document = {
        "schema": 1,
        "models": {
            reference: {"version": locked.version, "digest": locked.digest}
            for reference, locked in sorted(wanted.items())
        },
    }
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    registry.catalogue.pin(owner, new, why=why)
