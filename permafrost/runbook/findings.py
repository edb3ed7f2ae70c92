"""What an examination says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    STAND_IN = "stand-in"
    EXPOSED = "exposed"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``production`` says what a real site uses instead."""

    name: str
    level: Level
    detail: str
    production: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "level": self.level.value,
            "detail": self.detail,
            "production": self.production,
        }
