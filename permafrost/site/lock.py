"""`models.lock` beside the site file: the bytes that ``name@stage`` stands for on this site."""

from __future__ import annotations

from pathlib import Path

from model_registry.errors import RegistryError
from model_registry.lockfile import Locked, read_lock
from permafrost.errors import Problem, Refused
from permafrost.site.model import Site

LOCK_NAME = "models.lock"
UPDATE = "`permafrost model lock --update` writes it from what the catalogue says"


def references_of(site: Site) -> dict[str, str]:
    """Return which endpoints name a stage instead of a digest."""
    return {
        name: endpoint.model.removeprefix("checkpoints/")
        for name, endpoint in sorted(site.inference.items())
        if "@sha256:" not in endpoint.model
    }


def follow_lock(site: Site, references: dict[str, str], path: Path) -> Site:
    """Return the site with each reference replaced by what the lock says; Refused where none."""
    locked = _read(path) if references else {}
    problems = [
        _missing(f"inference.{name}.model", reference, path)
        for name, reference in references.items()
        if reference not in locked
    ]
    if problems:
        raise Refused(*problems)
    pinned = {
        name: site.inference[name].model_copy(update={"model": _pin(reference, locked)})
        for name, reference in references.items()
    }
    return site.model_copy(update={"inference": {**site.inference, **pinned}})


def _pin(reference: str, locked: dict[str, Locked]) -> str:
    return f"{reference.partition('@')[0]}@{locked[reference].digest}"


def _read(path: Path) -> dict[str, Locked]:
    try:
        return read_lock(path)
    except RegistryError as error:
        raise Refused(Problem(error.code, error.message, hint=UPDATE)) from None


def _missing(where: str, reference: str, path: Path) -> Problem:
    if not path.exists():
        return Problem(
            "LOCK_MISSING", f"there is no {path} to say what {reference} is", where, UPDATE
        )
    return Problem("LOCK_WITHOUT_MODEL", f"{path} does not say what {reference} is", where, UPDATE)
