"""What edges have counted of the requests that they sent to replicas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one server at one edge, since its workers began.

    ``errors``: answers of 5xx and such that made no sense; a connection that failed is retried.
    ``retried``: requests that were sent again. ``cut``: answers that the server broke off.
    ``response_ms``: how long it let wait for the first byte, the mean of its last 1,024 requests.
    """

    requests: int = 0
    errors: int = 0
    retried: int = 0
    cut: int = 0
    response_ms: int = 0

    def since(self, before: Counts) -> Counts | None:
        """Return what was added; None where the edge has begun to count anew meanwhile."""
        if self.requests < before.requests:
            return None
        return Counts(
            self.requests - before.requests,
            max(0, self.errors - before.errors),
            max(0, self.retried - before.retried),
            max(0, self.cut - before.cut),
            self.response_ms,
        )

    def as_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return asdict(self)


def added(counts: Iterable[Counts]) -> Counts:
    """Return the sum; of the times the mean, weighed by requests."""
    found = tuple(counts)
    requests = sum(c.requests for c in found)
    weighed = sum(c.response_ms * c.requests for c in found)
    return Counts(
        requests,
        sum(c.errors for c in found),
        sum(c.retried for c in found),
        sum(c.cut for c in found),
        round(weighed / requests) if requests else 0,
    )
