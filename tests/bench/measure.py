"""Side by side: baseline and candidate in turn, so that a drifting machine hits both."""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from lab.traffic.client import Target, send
from lab.traffic.record import Kind, Outcome
from lab.traffic.workload import Workload


@dataclass(frozen=True, slots=True)
class Figures:
    """Rate in requests a second, latencies in milliseconds."""

    rate_per_s: float
    p50_ms: float
    p99_ms: float


async def _closed_loop(
    target: Target, workload: Workload, context: ssl.SSLContext, workers: int, seconds: float
) -> Figures:
    latencies: list[float] = []
    deadline = time.monotonic() + seconds
    connector = aiohttp.TCPConnector(limit=0, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def worker(number: int) -> None:
            n = number
            while time.monotonic() < deadline:
                record = await send(session, target, f"bench-{n}", Kind.WHOLE, workload.ask(n))
                if record.outcome is not Outcome.OK:
                    raise RuntimeError(f"{target.base_url}: {record.outcome} {record.error}")
                latencies.append((record.end - record.start) * 1000)
                n += workers

        begin = time.monotonic()
        await asyncio.gather(*(worker(n) for n in range(workers)))
        took = time.monotonic() - begin
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(len(latencies) / took, cuts[49], cuts[98])


def closed_loop(
    target: Target, workload: Workload, context: ssl.SSLContext, workers: int, seconds: float
) -> Figures:
    """Return what ``workers`` clients, each asking again as soon as it was answered, get."""
    return asyncio.run(_closed_loop(target, workload, context, workers, seconds))


def in_turn(
    rounds: int, baseline: Callable[[], Figures], candidate: Callable[[], Figures]
) -> tuple[Figures, Figures]:
    """Return the medians over rounds that measure both, one right after the other."""
    pairs = [(baseline(), candidate()) for _ in range(rounds)]
    return _median([b for b, _ in pairs]), _median([c for _, c in pairs])


def _median(figures: Sequence[Figures]) -> Figures:
    return Figures(
        *(
            statistics.median(getattr(f, name) for f in figures)
            for name in ("rate_per_s", "p50_ms", "p99_ms")
        )
    )
