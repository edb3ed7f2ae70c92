"""Probe sets: synthetic prompts whose answers tell one checkpoint from another.

A checkpoint may ship its own as ``fingerprint-probes.json`` beside its weights; else the default
set is asked. The first two prompts of a set are short: a node asks them at every admission.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from model_registry.checkpoint import files_of
from model_registry.errors import RegistryError
from model_registry.fingerprint.comparison import Grade, compare
from model_registry.fingerprint.document import Asked, Fingerprint, ServingClass

FILE = "fingerprint-probes.json"
TOP_K = 5
ADMISSION_PROBES = 2
_MOST_PROBES, _MOST_TOKENS = 256, 1024


def default() -> tuple[Asked, ...]:
    """Return the set that is asked of a checkpoint that ships none."""
    return read_set(files(__package__).joinpath("default_probes.json").read_bytes())


def read_set(content: bytes) -> tuple[Asked, ...]:
    """Return a probe set. Raises RegistryError listing all that is wrong with it."""
    try:
        listed = json.loads(content)["probes"]
        asked = tuple(
            Asked(str(p["id"]), str(p["text_input"]), _sampling(p.get("sampling_parameters", {})))
            for p in listed
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            "PROBE_SET_INVALID",
            f"not a probe set: {error!r}",
            "docs/runbook/model-fingerprint.md shows a probe set",
        ) from error
    wrong = _wrong(asked)
    if wrong:
        raise RegistryError(
            "PROBE_SET_INVALID",
            "; ".join(wrong),
            "docs/runbook/model-fingerprint.md shows a probe set",
        )
    return asked


def in_manifest(manifest: dict[str, Any]) -> str | None:
    """Return the digest of the probe set that a checkpoint ships, None where it ships none."""
    return next((f.digest for f in files_of(manifest) if f.path == FILE), None)


def _sampling(given: dict[str, Any]) -> dict[str, Any]:
    """Greedy with a fixed seed, whatever the set says besides."""
    return {"max_tokens": 24, **given, "temperature": 0, "seed": 0}


def _wrong(asked: tuple[Asked, ...]) -> list[str]:
    wrong = []
    if not ADMISSION_PROBES <= len(asked) <= _MOST_PROBES:
        wrong.append(f"{len(asked)} probes; {ADMISSION_PROBES} to {_MOST_PROBES} are needed")
    ids = [a.id for a in asked]
    wrong += [
        f"probe {i} stands there twice" for i in sorted({i for i in ids if ids.count(i) > 1})
    ]
    for one in asked:
        most = one.sampling_parameters["max_tokens"]
        if not isinstance(most, int) or not 1 <= most <= _MOST_TOKENS:
            wrong.append(f"probe {one.id}: max_tokens is {most!r}, not 1 to {_MOST_TOKENS}")
        if not one.text_input.strip():
            wrong.append(f"probe {one.id} asks nothing")
    return wrong


@dataclass(frozen=True, slots=True)
class Weakness:
    """A relative that this probe set cannot tell from the checkpoint."""

    relative: str
    grade: Grade

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"relative": self.relative, "grade": self.grade.value}


def weaknesses(
    fingerprint: Fingerprint, relatives: tuple[Fingerprint, ...]
) -> tuple[Weakness, ...]:
    """Return the relatives (parents, children) that answer the probe set all but alike.

    Judged as between two classes: what tells them apart must be more than an engine may move.
    Relatives that were asked another set say nothing and are left out.
    """
    found = []
    for relative in relatives:
        if relative.checkpoint == fingerprint.checkpoint:
            continue
        if relative.probe_set != fingerprint.probe_set:
            continue
        seen = Fingerprint(relative.checkpoint, relative.answers, ServingClass())
        grade = compare(fingerprint, seen).grade
        if grade is not Grade.DIFFERENT:
            found.append(Weakness(relative.checkpoint, grade))
    return tuple(found)
