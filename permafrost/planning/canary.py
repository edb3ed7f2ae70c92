"""Whether a share of the requests may go on to a new checkpoint, judged by what edges count.

Stopped at once: by errors beyond what the live slot has at the same time, by the time to the
first byte beyond a multiple of the live slot's, and by a replica whose new slot its own gate no
longer admits. A share that nobody used has shown nothing, and does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from permafrost.counts import Counts, added
from permafrost.errors import Problem, Refused
from permafrost.facts import NodeFacts, Traffic

LARGEST_SHARE = 500
FLOOR_MS = 50
"""So many milliseconds more are never called slower: that much is noise."""
FEW = 30
"""Of so many requests the times are compared, and not of fewer."""

Sides = Mapping[tuple[str, str], Counts]
"""(edge, replica) to what was counted there of one slot."""


@dataclass(frozen=True, slots=True)
class Canary:
    """``share``: thousandths of the requests. ``errors``: share of them that may fail beyond the
    live slot's; ``errors_at_most``: so few stop nothing. ``slower``: multiple of the live slot's
    time to the first byte.
    """

    share: int
    seconds: float = 300.0
    errors: float = 0.01
    errors_at_most: int = 2
    slower: float = 1.5
    least_requests: int = 20

    def as_arguments(self) -> dict[str, str]:
        """Return it as a step's arguments."""
        return {
            "seconds": f"{self.seconds:g}",
            "errors": f"{self.errors:g}",
            "errors_at_most": str(self.errors_at_most),
            "slower": f"{self.slower:g}",
            "least_requests": str(self.least_requests),
        }

    @classmethod
    def of_arguments(cls, given: Mapping[str, str]) -> Canary:
        """Return what ``as_arguments`` gave; the share stands with the release."""
        return cls(
            int(given["share"]),
            float(given["seconds"]),
            float(given["errors"]),
            int(given["errors_at_most"]),
            float(given["slower"]),
            int(given["least_requests"]),
        )


def canary_of(percent: float | None, seconds: float) -> Canary | None:
    """Return what an operator asked for in percent; Refused where it is no share."""
    if percent is None:
        return None
    share = round(percent * 10)
    if not 1 <= share <= LARGEST_SHARE or seconds <= 0:
        raise Refused(
            Problem(
                "CANARY_INVALID",
                f"{percent:g} % for {seconds:g} s is no canary",
                hint=f"0.1 to {LARGEST_SHARE / 10:g} %, for longer than no time",
            )
        )
    return Canary(share, seconds)


def sides(traffic: Traffic, endpoint: str, slot: str) -> dict[tuple[str, str], Counts]:
    """Return what each edge has counted of each replica's slot."""
    return {
        (s.edge, s.replica): s.counts
        for b in traffic.backends
        if b.name == f"{endpoint}_{slot}"
        for s in b.servers
    }


def since(now: Sides, before: Sides) -> Counts:
    """Return what was added on one side; of an edge that counts anew, what it has by now."""
    return added(c.since(before.get(at, Counts())) or c for at, c in now.items())


def why_stop(canary: Canary, new: Counts, live: Counts) -> str:
    """Return why the share is taken back, from what both slots counted meanwhile; empty: go on."""
    failed, rate = new.errors + new.cut, _rate(new)
    if failed > canary.errors_at_most and rate > _rate(live) + canary.errors:
        return (
            f"errors: {failed} of {new.requests} requests failed ({rate:.1%}), "
            f"beside {_rate(live):.1%} of the live slot's {live.requests}"
        )
    limit_ms = live.response_ms * canary.slower + FLOOR_MS
    if min(new.requests, live.requests) >= FEW and new.response_ms > limit_ms:
        return (
            f"latency: {new.response_ms} ms to the first byte, "
            f"the live slot {live.response_ms} ms; at most {limit_ms:.0f} ms were allowed"
        )
    return ""


def failed_probe(slot: str, checkpoint: str, nodes: Mapping[str, NodeFacts]) -> str:
    """Return which replica's gate no longer admits its new slot; those without it are left out."""
    for name, facts in sorted(nodes.items()):
        seen = facts.slots.get(slot)
        if seen is not None and (seen.state != "ADMITTED" or seen.checkpoint != checkpoint):
            return f"probe: {name} slot {slot} is {seen.state} {seen.reason}".rstrip()
    return ""


def _rate(counts: Counts) -> float:
    return (counts.errors + counts.cut) / counts.requests if counts.requests else 0.0
