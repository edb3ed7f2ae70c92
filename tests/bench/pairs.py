"""One way against another, each time one right after the other: what else runs hits both."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]
Seconds = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of one way: seconds, and how much faster it is than the baseline beside it.

    ``ratio`` is of wall time, and half of those lie between ``low`` and ``high``;
    ``processor_ratio`` is of the processors' own time.
    """

    seconds: float
    ratio: float
    low: float
    high: float
    processor_ratio: float


def own_seconds() -> float:
    """Return the processor seconds of this process and of those that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def against(
    baseline: Work,
    ways: Mapping[str, Work],
    rounds: int,
    *,
    before: Work = lambda: None,
    used: Seconds = own_seconds,
) -> dict[str, Measured]:
    """Return what each way took; it and its own run of the baseline alternate in who is first.

    ``before`` runs before each, ``used`` tells the processor seconds that were spent so far.
    """
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    order = random.Random(0)
    for number in range(rounds):
        for name in order.sample(sorted(ways), len(ways)):
            pair = {"base": baseline, "way": ways[name]}
            took = {}
            for side in sorted(pair, reverse=bool(number % 2)):
                before()
                took[side] = _timed(pair[side], used)
            (base, base_used), (way, way_used) = took["base"], took["way"]
            seen[name].append((way, base / way, base_used / max(way_used, 1e-3)))
    return {name: _measured(found) for name, found in seen.items()}


def _timed(work: Work, used: Seconds) -> tuple[float, float]:
    spent, begin = used(), time.monotonic()
    work()
    return time.monotonic() - begin, used() - spent


def _measured(found: list[tuple[float, float, float]]) -> Measured:
    seconds, ratios, processor = zip(*found, strict=True)
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Measured(statistics.median(seconds), middle, low, high, statistics.median(processor))
