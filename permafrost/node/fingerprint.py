"""The recorded behaviour of the pinned checkpoint, and the comparison with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import NodeError

ADMISSION_PROBES = 2
Generate = Callable[[str, dict[str, Any]], tuple[int, ...]]


@dataclass(frozen=True)
class Probe:
    """One question and the tokens that the frozen weights must give."""

    id: str
    text_input: str
    sampling: dict[str, Any]
    token_ids: tuple[int, ...]

    def shortened(self) -> Probe:
        """Return the same question, answered with one token: enough to show life."""
        return Probe(
            self.id, self.text_input, {**self.sampling, "max_tokens": 1}, self.token_ids[:1]
        )


def load(path: Path, checkpoint: str) -> tuple[Probe, ...]:
    """Read the fingerprint. Raises NodeError where it is missing or of another checkpoint."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        of, listed = document["checkpoint"], document["probes"]
        probes = tuple(
            Probe(
                str(p["id"]),
                str(p["text_input"]),
                dict(p["sampling_parameters"]),
                tuple(int(token) for token in p["token_ids"]),
            )
            for p in listed
        )
    except OSError as error:
        raise NodeError("FINGERPRINT_MISSING", f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NodeError("FINGERPRINT_INVALID", f"{path}: {error}") from error
    if of != checkpoint:
        raise NodeError("FINGERPRINT_OF_ANOTHER", f"{path} is of {of}, pinned is {checkpoint}")
    if len(probes) < ADMISSION_PROBES:
        raise NodeError("FINGERPRINT_INVALID", f"{path} holds {len(probes)} probes")
    return probes


def first_difference(probes: Sequence[Probe], generate: Generate) -> str:
    """Ask each probe; return the first difference in words, empty when there is none."""
    for probe in probes:
        given = generate(probe.text_input, probe.sampling)
        if given != probe.token_ids:
            return f"probe {probe.id}: {_where(given, probe.token_ids)}"
    return ""


def _where(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    for place, (one, other) in enumerate(zip(given, wanted, strict=False)):
        if one != other:
            return f"token {place} is {one}, recorded is {other}"
    return f"{len(given)} tokens, recorded are {len(wanted)}"
