"""Where a checkpoint comes from: by which method, from which parents, on which data.

A lineage is part of the checkpoint's manifest, hence of its digest: it cannot be changed later,
and content alone rebuilds it. Parents are named by digest only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from model_registry.digests import DIGEST
from model_registry.errors import RegistryRefused

_Choice = TypeVar("_Choice", bound=StrEnum)
_LARGEST = 1e300
"""No figure of evidence is larger."""


class Method(StrEnum):
    """How a checkpoint was made."""

    PRETRAIN = "pretrain"
    FINE_TUNE = "fine-tune"
    RLHF = "rlhf"
    MERGE = "merge"
    QUANTISE = "quantise"
    ADAPTER = "adapter"


class Consent(StrEnum):
    """Whether those whose data it is agreed to its use."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Parent:
    """One checkpoint this one was made from; ``is_outside``: this registry need not hold it."""

    digest: str
    name: str = ""
    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set that was used."""

    digest: str
    name: str = ""
    consent: Consent = Consent.UNKNOWN


@dataclass(frozen=True, slots=True)
class Lineage:
    """``evidence`` are figures of convergence: final_loss, steps, and the like."""

    method: Method
    parents: tuple[Parent, ...] = ()
    data_sets: tuple[DataSet, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.parents)
        fits = {Method.PRETRAIN: count == 0, Method.MERGE: count > 1}.get(self.method, count == 1)
        if not fits:
            raise _invalid(f"{self.method.value} with {count} parents")

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in a manifest; empty parts are left out."""
        found: dict[str, Any] = {"method": self.method.value}
        if self.parents:
            found["parents"] = [
                {
                    "digest": p.digest,
                    **({"name": p.name} if p.name else {}),
                    **({"outside": True} if p.is_outside else {}),
                }
                for p in self.parents
            ]
        if self.data_sets:
            found["data_sets"] = [
                {
                    "digest": d.digest,
                    **({"name": d.name} if d.name else {}),
                    "consent": d.consent.value,
                }
                for d in self.data_sets
            ]
        if self.evidence:
            found["evidence"] = dict(self.evidence)
        return found


def from_dict(document: Any) -> Lineage:
    """Return the lineage that a document says. Refused, with what is wrong, where it is none."""
    fields = _fields(document, "lineage", {"method", "parents", "data_sets", "evidence"})
    evidence = fields.get("evidence", {})
    if not isinstance(evidence, dict) or not all(_is_number(v) for v in evidence.values()):
        raise _invalid("evidence holds figures by name, such as final_loss: 1.73")
    return Lineage(
        method=_choice(Method, fields.get("method"), "method"),
        parents=tuple(_parent(p) for p in _list(fields, "parents")),
        data_sets=tuple(_data_set(d) for d in _list(fields, "data_sets")),
        evidence={str(k): v for k, v in evidence.items()},
    )


def from_text(text: str | bytes) -> Lineage:
    """Return the lineage that a JSON text says."""
    try:
        return from_dict(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it is no JSON: {error}") from error


def _parent(document: Any) -> Parent:
    fields = _fields(document, "a parent", {"digest", "name", "outside"})
    return Parent(
        _digest(fields, "parent"), str(fields.get("name", "")), fields.get("outside") is True
    )


def _data_set(document: Any) -> DataSet:
    fields = _fields(document, "a data set", {"digest", "name", "consent"})
    consent = _choice(Consent, fields.get("consent", Consent.UNKNOWN.value), "consent")
    return DataSet(_digest(fields, "data set"), str(fields.get("name", "")), consent)


def _fields(document: Any, what: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise _invalid(f"{what} must be an object")
    if unknown := sorted(map(str, document.keys() - known)):
        raise _invalid(f"{what} has no {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return document


def _list(fields: dict[str, Any], key: str) -> list[Any]:
    found = fields.get(key, [])
    if not isinstance(found, list):
        raise _invalid(f"{key} must be a list")
    return found


def _digest(fields: dict[str, Any], what: str) -> str:
    digest = str(fields.get("digest", ""))
    if DIGEST.fullmatch(digest) is None:
        raise _invalid(f"a {what} is named by its digest, not {digest!r}")
    return digest


def _choice(kind: type[_Choice], value: Any, what: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(k.value for k in kind)
        raise _invalid(f"{what} {value!r} is none of {known}") from None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST  # no NaN, no infinity: JSON has neither


def _invalid(why: str) -> RegistryRefused:
    return RegistryRefused("LINEAGE_INVALID", why, "docs/runbook/model.md shows the form")
