"""A clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Ticking:
    """Each reading is a second later than the one before."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 5, 5, 14, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment

    def go(self, **delta: float) -> None:
        self.moment += timedelta(**delta)
