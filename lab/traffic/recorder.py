"""Open-loop load: requests leave on a fixed schedule, whether or not earlier ones came back.

A closed loop slows down with the server and so hides the very outage it should show
(coordinated omission); this one never waits.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import aiohttp

from lab.traffic.channel import Channel
from lab.traffic.client import Target, send
from lab.traffic.conversation import Talk
from lab.traffic.record import Kind, Record, to_line
from lab.traffic.workload import Conversations, Workload


@dataclass(frozen=True, slots=True)
class Load:
    """``rate_per_s`` requests a second for ``duration_s`` seconds, a share of them streams.

    Beside them ``conversations`` of ``turns`` turns each, again and again, and ``channels``
    long-open gRPC streams with a request every ``channel_every_s`` seconds: these wait for their
    answers, as people and idle clients do, and count on top of the rate. ``fresh``: each request
    on a connection of its own, as new clients come; else connections are kept.
    """

    rate_per_s: float
    duration_s: float
    stream_share: float
    run: str
    fresh: bool = False
    conversations: int = 0
    turns: int = 4
    channels: int = 0
    channel_every_s: float = 5.0


def departures(load: Load) -> Iterator[tuple[int, float, Kind]]:
    """Yield (number, seconds after the beginning, kind) of every request, evenly spread.

    Streams are dealt out evenly too: request n is a stream where the running share has grown
    past a whole number (Bresenham's rule), so that any stretch of the run has the asked mix.
    """
    for n in range(int(load.rate_per_s * load.duration_s)):
        stream = int((n + 1) * load.stream_share) > int(n * load.stream_share)
        yield n, n / load.rate_per_s, Kind.STREAM if stream else Kind.WHOLE


@dataclass(frozen=True, slots=True)
class Side:
    """What goes on beside the open-loop load."""

    talks: Conversations | None = None
    open_channel: Callable[[str], Channel] | None = None


async def record(
    load: Load,
    target: Target,
    workload: Workload,
    context: ssl.SSLContext | None,
    out: TextIO,
    side: Side | None = None,
) -> int:
    """Run the load and write a line a request as each ends. Returns the number of requests.

    SIGUSR1 ends it early: nothing new is sent, what is under way is awaited and recorded.
    """
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, enough.set)
    connector = aiohttp.TCPConnector(
        limit=0, ssl=context if context else True, force_close=load.fresh
    )
    running: set[asyncio.Task[None]] = set()
    count = 0

    def keep(done: Record) -> None:
        nonlocal count
        count += done.is_request
        out.write(to_line(done) + "\n")
        out.flush()

    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(number: int, kind: Kind, due: float) -> None:
            ask = workload.ask(number)
            late_ms = (time.monotonic() - due) * 1000
            keep(await send(session, target, f"{load.run}-{number:06}", kind, ask, late_ms))

        begin = time.monotonic()
        until = begin + load.duration_s
        beside = _beside(load, side or Side(), session, target, until, keep)
        for number, after, kind in departures(load):
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), begin + after - time.monotonic())
            if enough.is_set():
                break
            task = asyncio.create_task(one(number, kind, begin + after))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running, *beside)
    return count


def _beside(
    load: Load,
    side: Side,
    session: aiohttp.ClientSession,
    target: Target,
    until: float,
    keep: Callable[[Record], None],
) -> list[asyncio.Task[None]]:
    tasks = []
    if side.talks is not None:
        for number in range(load.conversations):
            talk = Talk(f"{load.run}-c{number}", number, load.turns, until)
            tasks.append(asyncio.create_task(talk.run(session, target, side.talks, keep)))
    if side.open_channel is not None:
        for number in range(load.channels):
            channel = side.open_channel(f"{load.run}-g{number}")
            tasks.append(asyncio.create_task(channel.run(load.channel_every_s, until, keep)))
    return tasks


def run(
    load: Load,
    target: Target,
    workload: Workload,
    context: ssl.SSLContext | None,
    out: Path,
    side: Side | None = None,
) -> int:
    """Run the load to its end; the file appears at once and grows. Returns the count."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as file:
        return asyncio.run(record(load, target, workload, context, file, side))
