"""A conversation: each turn carries all that was said before, and waits for its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import aiohttp

from lab.traffic.client import Target, send
from lab.traffic.record import Kind, Outcome, Record
from lab.traffic.workload import Conversations


@dataclass(frozen=True, slots=True)
class Talk:
    """Conversations one after another until a moment (monotonic seconds), ``turns`` turns each.

    The turns of one alternate between whole and streamed answers. A turn that is lost ends its
    conversation, as it would for a person: what comes next would be built on nothing.
    """

    name: str
    number: int
    turns: int
    until: float

    async def run(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        talks: Conversations,
        keep: Callable[[Record], None],
    ) -> None:
        """Hold conversations and keep a record of each turn."""
        round_ = 0
        while time.monotonic() < self.until:
            name = f"{self.name}-{round_}"
            said: list[tuple[int, ...]] = []
            for turn in range(1, self.turns + 1):
                ask = talks.turn(self.number * 1_000_000 + round_, said)
                kind = Kind.STREAM if turn % 2 else Kind.WHOLE
                done = await send(session, target, f"{name}-{turn}", kind, ask)
                keep(replace(done, conversation=name, turn=turn))
                if done.outcome is not Outcome.OK:
                    break
                said.append(done.tokens)
            round_ += 1
