"""Requests that are broken, endless or never finished: nobody else notices, and no server dies.

The requests are generated, the same ones each time. A load with known answers runs beside them.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.acceptance.broken import PATH, bodies, raw_requests, say
from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, traffic
from tests.acceptance.edges import NO_BODY_LIMIT, On, Status, configured_otherwise
from tests.acceptance.history import LOSSLESS, losses

pytestmark = pytest.mark.soak
Note = Callable[[str, object], None]
REPLICAS = [f"lab-pulse-{n:02}" for n in (1, 2, 3)]
SHORT = ("--interval-ms", "50", "--max-tokens", "4", "--fresh")
COUNT = 400


def lives(on: On) -> dict[str, str]:
    """Return of each replica and edge which processes serve there, and since when."""
    units = {**dict.fromkeys(REPLICAS, "triton-a haproxy permafrost-node"),
             **dict.fromkeys(("lab-edge-01", "lab-edge-02"), "haproxy")}  # fmt: skip
    shown = "--property=MainPID,NRestarts,ActiveEnterTimestamp"
    return {
        name: on(name).check_output(f"systemctl show {shown} {u}") for name, u in units.items()
    }


def test_broken_requests_touch_nobody(
    lab: Cli, on: On, status: Status, client: httpx.Client, ca_file: Path, tmp_path: Path,
    record_property: Note,
) -> None:  # fmt: skip
    address = endpoint(status(), "pulse")["address"]
    before = lives(on)
    statuses: Counter[int] = Counter()
    context = ssl.create_default_context(cafile=str(ca_file))
    with traffic(lab, "pulse", 20, 240, 0.5, tmp_path / "load.jsonl", *SHORT) as load:
        load.await_steady()
        for _, body in zip(range(COUNT), bodies(1), strict=False):
            head = {"content-type": "application/json"}
            answer = client.post(f"https://{address}{PATH}", content=body, headers=head)
            statuses[answer.status_code] += 1

        async def all_raw() -> list[str]:
            made = zip(range(COUNT // 2), raw_requests(2), strict=False)
            gate = asyncio.Semaphore(10)

            async def one(content: bytes) -> str:
                async with gate:
                    return await say(address, context, content)

            return await asyncio.gather(*(one(content) for _, content in made))

        lines = Counter(line.partition(" ")[2][:3] for line in asyncio.run(all_raw()))
        load.end()
        summary = load.finish()
    record_property("statuses", dict(statuses))
    record_property("raw", dict(lines))
    assert losses(summary) == LOSSLESS, summary
    assert lives(on) == before, "nothing was started anew"
    assert not [s for s in statuses if s >= 500], statuses
    assert statuses[400] >= COUNT // 4
    assert not {"500", "502", "503", "504"} & set(lines), lines


@pytest.mark.parametrize("limited", [True, False], ids=["limited", "control: no limit"])
def test_clients_that_never_finish_hold_no_place(
    limited: bool, on: On, status: Status, ca_file: Path, record_property: Note
) -> None:
    """Forty requests that come in by a byte a second, where the replicas take twelve at once."""
    address = endpoint(status(), "chat")["address"]
    context = ssl.create_default_context(cafile=str(ca_file))
    head = b"POST /v2/models/chat/generate HTTP/1.1\r\nhost: chat\r\ncontent-length: 5000\r\n\r\n"

    async def drip(until: float) -> None:
        host, _, port = address.partition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.write(head)
            while time.monotonic() < until:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(1)
            writer.close()
        except OSError:
            return

    async def scenario() -> list[int]:
        until = time.monotonic() + 20
        slow = [asyncio.create_task(drip(until)) for _ in range(40)]
        await asyncio.sleep(2)
        one = json.dumps({"max_tokens": 1})
        body = {"text_input": "Who is there?", "sampling_parameters": one}
        statuses = []
        async with httpx.AsyncClient(verify=context, timeout=8) as asking:
            for _ in range(5):
                try:
                    url = f"https://{address}/v2/models/chat/generate"
                    statuses.append((await asking.post(url, json=body)).status_code)
                except httpx.TimeoutException:
                    statuses.append(0)
        await asyncio.gather(*slow)
        return statuses

    if limited:
        statuses = asyncio.run(scenario())
        assert statuses == [200] * 5
    else:
        with configured_otherwise(on, NO_BODY_LIMIT):
            statuses = asyncio.run(scenario())
        assert statuses.count(200) < 5, "they hold every place"
    record_property("statuses", statuses)
