"""Which of the streams that are open at a replica only wait for their client?

A gRPC stream may stay open for ever. It is idle, and may be ended by policy, when its client may
send on, not a byte of it has moved for ``idle_s``, and the model server had nothing in flight each
of the last times that it was asked, all after the stream's last byte. So nothing of it is being
answered: what a client had asked would be pending there, or would have moved bytes since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from permafrost.facts import StreamFacts

QUIET_LOOKS = 2
"""How often in a row the server must have had nothing: between its queue and its work a request
is in neither for a moment."""


@dataclass(frozen=True, slots=True)
class StreamWatch:
    """What was seen of a replica's streams so far. Times are seconds of a monotonic clock."""

    idle_s: float
    since: Mapping[tuple[str, int, str], tuple[StreamFacts, float]] = field(default_factory=dict)
    """Of each stream: as it was seen first with the bytes that it has now, and when."""
    quiet_looks: int = 0

    def busy(self) -> StreamWatch:
        """Return what is known after the server had something in flight, or was not asked."""
        return replace(self, quiet_looks=0)

    def quiet(self, streams: Iterable[StreamFacts], now: float) -> StreamWatch:
        """Return what is known after the server had nothing and, asked later, edges these."""
        since = {}
        for stream in streams:
            before = self.since.get(stream.key)
            since[stream.key] = before if before and before[0] == stream else (stream, now)
        return StreamWatch(self.idle_s, since, self.quiet_looks + 1)

    def idle(self, now: float) -> tuple[StreamFacts, ...]:
        """Return the streams that only wait for their client."""
        if self.quiet_looks < QUIET_LOOKS:
            return ()
        return tuple(s for s in self.still(now) if s.is_held)

    def still(self, now: float) -> tuple[StreamFacts, ...]:
        """Return the streams on which nothing has moved for long enough, as last seen."""
        return tuple(s for s, at in self.since.values() if now - at >= self.idle_s)
