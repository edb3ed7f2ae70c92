"""Bytes that are no HTTP, or HTTP that is untrue of itself, beside a load of good requests."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from pathlib import Path
from typing import Any

from tests.acceptance.broken import raw_requests, say
from tests.contract.edge.changes import load
from tests.contract.edge.front import OWN, PORT, Front

COUNT, AT_ONCE = 600, 10


def broken(folder: Path) -> dict[str, Any]:
    """Send what is broken; say what came back, and whether a process was lost by it."""
    lines: Counter[str] = Counter()
    with Front(folder) as front:
        context = ssl.create_default_context(cafile=str(folder / "pki/ca.pem"))

        async def all_of_them() -> None:
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(content: bytes) -> None:
                async with gate:
                    line = await say(f"{OWN}:{PORT}", context, content)
                    lines[line.partition(" ")[2][:3]] += 1

            made = zip(range(COUNT), raw_requests(2), strict=False)
            await asyncio.gather(*(one(content) for _, content in made))

        before = front.workers()
        asked = load(front, lambda: asyncio.run(all_of_them()), key="")
        same = front.workers() == before
    return {
        "lines": lines,
        "same_workers": same,
        "statuses": Counter(str(a.status) for a in asked),
        "requests": len(asked),
    }
