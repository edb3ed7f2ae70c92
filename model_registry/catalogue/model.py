"""What the catalogue speaks of: stages, versions, moves between stages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from model_registry.errors import RegistryRefused

NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Stage(StrEnum):
    """How far a version is trusted. One version of a name at most is staging, one production."""

    CANDIDATE = "candidate"
    STAGING = "staging"
    PRODUCTION = "production"
    RETIRED = "retired"


class Verb(StrEnum):
    """What a person may do to a version's stage."""

    PROMOTE = "promote"
    DEMOTE = "demote"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version of a name. ``is_present`` is false once its content was collected."""

    name: str
    version: str
    digest: str
    stage: Stage
    is_present: bool
    unsafe: tuple[str, ...]
    added_at: str

    @property
    def label(self) -> str:
        """The version as a person writes it."""
        return f"{self.name}:{self.version}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "stage": self.stage.value,
            "present": self.is_present,
            "unsafe": list(self.unsafe),
            "added_at": self.added_at,
        }


@dataclass(frozen=True, slots=True)
class Move:
    """One version from one stage to another."""

    version: str
    digest: str
    origin: Stage
    to: Stage

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {
            "version": self.version,
            "digest": self.digest,
            "from": self.origin.value,
            "to": self.to.value,
        }


@dataclass(frozen=True, slots=True)
class MovePlan:
    """All that one promotion, demotion or retirement does, who it displaces included."""

    name: str
    version: str
    verb: Verb
    moves: tuple[Move, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "version": self.version,
            "verb": self.verb.value,
            "moves": [move.as_dict() for move in self.moves],
        }


def check_name(name: str) -> str:
    """Return a name of a model. Refused where it is none."""
    if NAME.fullmatch(name) is None or len(name) > 200:
        raise RegistryRefused(
            "NAME_INVALID", f"{name!r} is no name", "lower case, digits, and . _ - / between them"
        )
    return name


def check_version(version: str) -> str:
    """Return a version. Refused where it is none, or reads like a stage or a digest."""
    if _VERSION.fullmatch(version) is None or version in set(Stage) or version == "sha256":
        raise RegistryRefused(
            "VERSION_INVALID", f"{version!r} is no version", "letters, digits, and . _ -"
        )
    return version
