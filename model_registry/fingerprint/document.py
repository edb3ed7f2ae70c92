"""A fingerprint as a value, and the document that it is kept in.

Schema 2. Schema 1 carried tokens alone, recorded from the engine without a serving class; it is
read as a fingerprint of an unknown class without log-probabilities.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model_registry.digests import DIGEST, canonical_json, of_bytes
from model_registry.errors import RegistryError

SCHEMA = 2
TopLogprobs = tuple[tuple[int, float], ...]
"""The likeliest tokens at one position, likeliest first: id and natural logarithm."""


@dataclass(frozen=True, slots=True)
class ServingClass:
    """All that decides tokens beside the bytes. Two replicas of one class answer bit for bit.

    ``engine_image`` is the image's digest, ``batch`` the settings that shape a batch (context,
    concurrency, prefix cache …) as name and value.
    """

    engine_image: str = ""
    precision: str = ""
    gpu: str = ""
    driver: str = ""
    parallelism: str = ""
    batch: tuple[tuple[str, str], ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether it says anything: a fingerprint from the engine alone has no class."""
        return bool(self.engine_image)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "batch": dict(self.batch)}

    def differences(self, other: ServingClass) -> tuple[str, ...]:
        """Return the names of the fields that differ."""
        mine, theirs = self.as_dict(), other.as_dict()
        return tuple(name for name in mine if mine[name] != theirs[name])


@dataclass(frozen=True, slots=True)
class Asked:
    """One synthetic prompt of a probe set, and how it is sampled (greedy, fixed seed)."""

    id: str
    text_input: str
    sampling_parameters: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "id": self.id,
            "text_input": self.text_input,
            "sampling_parameters": dict(self.sampling_parameters),
        }


@dataclass(frozen=True, slots=True)
class Answered:
    """What was given to one prompt. ``top_logprobs`` is empty, or as long as ``token_ids``."""

    asked: Asked
    token_ids: tuple[int, ...]
    top_logprobs: tuple[TopLogprobs, ...] = ()
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        told: dict[str, Any] = {**self.asked.as_dict(), "token_ids": list(self.token_ids)}
        if self.top_logprobs:
            told["top_logprobs"] = [[list(pair) for pair in at] for at in self.top_logprobs]
        if self.text:
            told["text"] = self.text
        return told


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A checkpoint's answers to a probe set, had by one serving class."""

    checkpoint: str
    answers: tuple[Answered, ...]
    serving_class: ServingClass = ServingClass()
    engine: tuple[tuple[str, str], ...] = ()

    @property
    def probe_set(self) -> str:
        """The digest of what was asked."""
        return probe_set_digest([a.asked for a in self.answers])

    @property
    def has_logprobs(self) -> bool:
        """Whether every answer carries log-probabilities."""
        return bool(self.answers) and all(a.top_logprobs for a in self.answers)

    def as_dict(self) -> dict[str, Any]:
        """Return the document; its canonical JSON depends on nothing but behaviour and class."""
        return {
            "schema": SCHEMA,
            "checkpoint": self.checkpoint,
            "engine": dict(self.engine),
            "serving_class": self.serving_class.as_dict() if self.serving_class.is_known else None,
            "probe_set": self.probe_set,
            "probes": [a.as_dict() for a in self.answers],
        }


def probe_set_digest(asked: Sequence[Asked]) -> str:
    """Return the digest of a probe set: of its prompts, their order and their sampling."""
    return of_bytes(canonical_json({"probes": [a.as_dict() for a in asked]}))


def read(content: bytes | Mapping[str, Any]) -> Fingerprint:
    """Return the fingerprint of a document of schema 1 or 2. Raises RegistryError."""
    try:
        document = json.loads(content) if isinstance(content, bytes) else content
        schema = document["schema"]
        if schema not in (1, SCHEMA):
            raise RegistryError(
                "FINGERPRINT_SCHEMA_UNKNOWN",
                f"a fingerprint of schema {schema!r}",
                "it was written by a newer release",
            )
        found = Fingerprint(
            checkpoint=str(document["checkpoint"]),
            answers=tuple(_answered(probe) for probe in document["probes"]),
            serving_class=read_class(document.get("serving_class")),
            engine=tuple(sorted((str(k), str(v)) for k, v in document.get("engine", {}).items())),
        )
        told = document.get("probe_set", found.probe_set)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(
            "FINGERPRINT_INVALID",
            f"not a fingerprint: {error}",
            "record it again: `permafrost model fingerprint record`",
        ) from error
    if DIGEST.fullmatch(found.checkpoint) is None:
        raise RegistryError(
            "FINGERPRINT_INVALID",
            f"of {found.checkpoint!r}, which is no digest",
            "record it again: `permafrost model fingerprint record`",
        )
    if told != found.probe_set:
        raise RegistryError(
            "FINGERPRINT_INVALID",
            "its probes are not those of its probe set",
            "record it again: `permafrost model fingerprint record`",
        )
    return found


def read_class(document: Mapping[str, Any] | None) -> ServingClass:
    """Return the serving class of a document; an unknown one where there is none."""
    if not document:
        return ServingClass()
    batch = document.get("batch") or {}
    return ServingClass(
        **{
            name: str(document.get(name) or "")
            for name in ("engine_image", "precision", "gpu", "driver", "parallelism")
        },
        batch=tuple(sorted((str(k), str(v)) for k, v in batch.items())),
    )


def _answered(probe: Mapping[str, Any]) -> Answered:
    tokens = tuple(int(token) for token in probe["token_ids"])
    tops = tuple(
        tuple((int(token), float(logprob)) for token, logprob in at)
        for at in probe.get("top_logprobs", [])
    )
    if tops and len(tops) != len(tokens):
        raise ValueError(f"probe {probe['id']}: {len(tops)} positions for {len(tokens)} tokens")
    asked = Asked(str(probe["id"]), str(probe["text_input"]), dict(probe["sampling_parameters"]))
    return Answered(asked, tokens, tops, str(probe.get("text", "")))
