"""Wait for a condition with a deadline; the only place where Permafrost polls."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from permafrost.ports import Clock

SOONER, GROWS = 5.0, 1.6
"""The first pause of a wait is a fifth of the last ones, the fifth is as long as they are."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only go forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


def wait_until(
    is_true: Callable[[], bool], *, clock: Clock, deadline_s: float, every_s: float = 0.25
) -> bool:
    """Ask until the answer is yes or the time is up; return the last answer.

    The condition is asked at least once, and once more when the time is up. At first it is asked
    more often than ``every_s``: most of what is waited for holds after a moment.
    """
    end = clock.monotonic() + deadline_s
    pause = every_s / SOONER
    while True:
        last_chance = clock.monotonic() >= end
        if is_true():
            return True
        if last_chance:
            return False
        clock.sleep(min(pause, max(0.0, end - clock.monotonic())))
        pause = min(every_s, pause * GROWS)
