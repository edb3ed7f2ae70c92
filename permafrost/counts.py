"""What edges have counted of the requests that they sent to replicas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

SAMPLES = 512
"""TIME_STATS_SAMPLES of HAProxy: what it calls the last 1,024 requests weighs these the most."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one server at one edge, since its workers began.

    ``errors``: answers of 5xx and such that made no sense; a connection that failed is retried.
    ``retried``: requests that were sent again. ``cut``: answers that the server broke off.
    ``response_ms``: how long it let wait for the first byte, the mean of its latest requests.
    """

    requests: int = 0
    errors: int = 0
    retried: int = 0
    cut: int = 0
    response_ms: int = 0

    def since(self, before: Counts) -> Counts | None:
        """Return what was added; None where the edge has begun to count anew meanwhile.

        ``response_ms`` is then the mean of what was added alone.
        """
        if self.requests < before.requests:
            return None
        return Counts(
            self.requests - before.requests,
            max(0, self.errors - before.errors),
            max(0, self.retried - before.retried),
            max(0, self.cut - before.cut),
            self._response_ms_since(before),
        )

    def _response_ms_since(self, before: Counts) -> int:
        """Return the mean of the times that were added, in ms, at least; 0 where none was.

        HAProxy sums up the first ``SAMPLES`` times; each later one takes 1/SAMPLES of the sum away
        before it is added (its freq_ctr.h). So where few were added its mean is mostly of what was
        long before. It is told in whole ms, rounded up: of few what is known is a wide range, of
        which this is the lower end.
        """
        added = self.requests - before.requests
        if not added or not before.requests:
            return self.response_ms if added else 0
        window = min(self.requests, SAMPLES)
        later = min(added, max(0, self.requests - SAMPLES))
        kept = (1 - 1 / SAMPLES) ** later
        of_before = min(before.requests, SAMPLES) * kept / window
        of_added = (added - later) * kept / window + 1 - kept
        at_least = self.response_ms - 1 - before.response_ms * of_before
        return max(0, round(at_least / of_added))

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
