"""One root for every error a person may see: a stable code, what was seen, what to do.

Errors of libraries are translated to these once, in the adapter that met them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of the commands; scripts rely on them."""

    DONE = 0
    USAGE = 2
    REFUSED = 3
    FAILED = 4
    HELD = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (a path in the site file, a node), why and what to do."""

    code: str
    message: str
    path: str = ""
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the four fields of the machine-readable form."""
        return asdict(self)

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        hint = f"\n    {self.hint}" if self.hint else ""
        return f"{self.code}: {place}{self.message}{hint}"


class PermafrostError(Exception):
    """Root of all errors that are shown to a person."""

    exit_status: ExitStatus = ExitStatus.FAILED

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems

    @property
    def code(self) -> str:
        """The stable code of the first problem."""
        return self.problems[0].code if self.problems else "UNKNOWN"


class Refused(PermafrostError):  # noqa: N818
    """Nothing was done, and this is why (exit status 3)."""

    exit_status = ExitStatus.REFUSED


class Failed(PermafrostError):  # noqa: N818
    """Something was tried and did not work (exit status 4)."""

    exit_status = ExitStatus.FAILED


class Held(PermafrostError):  # noqa: N818
    """Another operation holds the site (exit status 5)."""

    exit_status = ExitStatus.HELD


class UsageError(PermafrostError):
    """The command line is off (exit status 2)."""

    exit_status = ExitStatus.USAGE
