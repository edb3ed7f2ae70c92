"""The recorded behaviour of the pinned checkpoint, and the comparison with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .documents import json_object
from .errors import NodeError

ADMISSION_PROBES = 2
SCHEMAS = (1, 2)
"""The first carries tokens alone; the second also serving class and log-probabilities."""
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


def parse(content: bytes, checkpoint: str, place: str) -> tuple[Probe, ...]:
    """Return the probes of a fingerprint that was read from a place.

    Raises NodeError where it is of another checkpoint, or is none.
    """
    try:
        document = json.loads(content)
        if dict(document).get("schema", 1) not in SCHEMAS:
            raise ValueError(f"schema {document['schema']!r} is not known")
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
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise NodeError(
            "FINGERPRINT_INVALID", f"{place}: {error}", "permafrost-node follow fetches it again"
        ) from error
    if of != checkpoint:
        raise NodeError(
            "FINGERPRINT_OF_ANOTHER",
            f"{place} is of {of}, pinned is {checkpoint}",
            "permafrost-node follow fetches the right one",
        )
    if len(probes) < ADMISSION_PROBES:
        raise NodeError(
            "FINGERPRINT_INVALID",
            f"{place} holds {len(probes)} probes",
            "record it again: `permafrost model fingerprint record`",
        )
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


def choose(documents: Sequence[bytes], checkpoint: str, serving_class: dict[str, Any]) -> bytes:
    """Return the fingerprint that this node has to meet, out of all of its checkpoint.

    The newest of its own class; else the newest that was had from the engine alone; else the
    newest. ``documents`` has the newest first. Raises NodeError where one is not of the
    checkpoint.
    """
    of_the_engine: bytes | None = None
    for content in documents:
        document = _document(content, checkpoint)
        if document.get("checkpoint") != checkpoint:
            raise NodeError(
                "FINGERPRINT_OF_ANOTHER",
                f"the registry's is not of {checkpoint}",
                "push the checkpoint and its fingerprint to the registry again",
            )
        told = document.get("serving_class")
        if told == serving_class:
            return content
        if told is None and of_the_engine is None:
            of_the_engine = content
    if not documents:
        raise NodeError(
            "FINGERPRINT_MISSING",
            f"{checkpoint} has none",
            "`permafrost model fingerprint record` on a drained replica makes one",
        )
    return of_the_engine or documents[0]


def _document(content: bytes, checkpoint: str) -> dict[str, Any]:
    what = f"the fingerprint that the registry has of {checkpoint}"
    return json_object(content, "FINGERPRINT_INVALID", what)
