"""What a preflight says: each check with what was seen, what is needed and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permafrost.errors import Problem


class PreflightLevel(StrEnum):
    """``problem`` refuses a deployment; ``attention`` is said and goes on."""

    OK = "ok"
    ATTENTION = "attention"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One thing that was looked at; ``target`` is a node, an endpoint's path or "cluster"."""

    code: str
    target: str
    level: PreflightLevel
    seen: str
    needed: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {
            "code": self.code,
            "target": self.target,
            "level": self.level.value,
            "seen": self.seen,
            "needed": self.needed,
            "hint": self.hint,
        }

    def as_problem(self) -> Problem:
        """Return it as the reason of a refusal."""
        return Problem(self.code, f"{self.seen}; needed: {self.needed}", self.target, self.hint)


def check(
    code: str,
    target: str,
    is_well: bool,
    *,
    seen: str,
    needed: str,
    hint: str,
    otherwise: PreflightLevel = PreflightLevel.PROBLEM,
) -> PreflightCheck:
    """Return a check that is ok, or else at the level given; ok ones carry no hint."""
    level = PreflightLevel.OK if is_well else otherwise
    return PreflightCheck(code, target, level, seen, needed, "" if is_well else hint)


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """All checks, in the order in which they were made."""

    checks: tuple[PreflightCheck, ...]

    @property
    def problems(self) -> tuple[PreflightCheck, ...]:
        """What would stop a VM at power-on, or break what the site promises."""
        return tuple(c for c in self.checks if c.level is PreflightLevel.PROBLEM)

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "passed": not self.problems,
            "checks": [c.as_dict() for c in self.checks],
        }


def report(*groups: Iterable[PreflightCheck]) -> PreflightReport:
    """Return one report of several groups of checks."""
    return PreflightReport(tuple(c for group in groups for c in group))
