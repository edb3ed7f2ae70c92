"""Open-loop load: requests leave on a fixed schedule, whether or not earlier ones came back.

A closed loop slows down with the server and so hides the very outage it should show
(coordinated omission); this one never waits.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import aiohttp

from lab.traffic.client import Target, send
from lab.traffic.record import Kind, to_line
from lab.traffic.workload import Workload


@dataclass(frozen=True, slots=True)
class Load:
    """``rate_per_s`` requests a second for ``duration_s`` seconds, a share of them streams."""

    rate_per_s: float
    duration_s: float
    stream_share: float
    run: str
    fresh: bool = False
    """Each request on a connection of its own, as new clients come; else connections are kept."""


def departures(load: Load) -> Iterator[tuple[int, float, Kind]]:
    """Yield (number, seconds after the beginning, kind) of every request, evenly spread.

    Streams are dealt out evenly too: request n is a stream where the running share has grown
    past a whole number (Bresenham's rule), so that any stretch of the run has the asked mix.
    """
    for n in range(int(load.rate_per_s * load.duration_s)):
        stream = int((n + 1) * load.stream_share) > int(n * load.stream_share)
        yield n, n / load.rate_per_s, Kind.STREAM if stream else Kind.WHOLE


async def record(
    load: Load, target: Target, workload: Workload, context: ssl.SSLContext | None, out: TextIO
) -> int:
    """Run the load and write a line a request as each ends. Returns the number of requests."""
    connector = aiohttp.TCPConnector(
        limit=0, ssl=context if context else True, force_close=load.fresh
    )
    running: set[asyncio.Task[None]] = set()
    count = 0
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(number: int, kind: Kind) -> None:
            ask = workload.ask(number)
            done = await send(session, target, f"{load.run}-{number:06}", kind, ask)
            out.write(to_line(done) + "\n")
            out.flush()

        begin = time.monotonic()
        for number, after, kind in departures(load):
            await asyncio.sleep(max(0.0, begin + after - time.monotonic()))
            task = asyncio.create_task(one(number, kind))
            running.add(task)
            task.add_done_callback(running.discard)
            count += 1
        if running:
            await asyncio.gather(*running)
    return count


def run(
    load: Load, target: Target, workload: Workload, context: ssl.SSLContext | None, out: Path
) -> int:
    """Run the load to its end; the file appears at once and grows. Returns the count."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as file:
        return asyncio.run(record(load, target, workload, context, file))
