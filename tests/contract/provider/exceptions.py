"""Where the lab's plugin differs from the recorded one, and why.

Each entry is a decision or a debt. `needed=False` marks those that cover what only sometimes
differs; all others must be used by their case, or the test fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.contract.provider.binding import Difference
from tests.contract.provider.cases import Case


@dataclass(frozen=True)
class Expected:
    """Differences that are known: which case, which value, and why."""

    case: str
    path: str
    reason: str
    needed: bool = True

    def covers(self, difference: Difference) -> bool:
        """Say whether this explains a difference."""
        return re.search(self.path, difference.path) is not None


EXCEPTIONS: tuple[Expected, ...] = ()


def expected(case: Case) -> tuple[Expected, ...]:
    """Return the exceptions of one case."""
    return tuple(e for e in EXCEPTIONS if re.search(e.case, case.id))
