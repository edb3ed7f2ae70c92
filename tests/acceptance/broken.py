"""Requests that are broken or endless, generated: the same ones each time."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Callable, Iterator
from typing import Any

PATH = "/v2/models/pulse/generate"
ODD: list[Any] = [
    None, True, -1, 0, 2**63, 1e308, "", "\ud83d\udca5" * 50, "\u0000", [], [[]], {}, ["a", "b"],
    [1, "a", None], {"a": {"b": [1]}}, "x" * 70_000, [0] * 5000,
]  # fmt: skip
FIELDS = ["text_input", "stream", "sampling_parameters", "exclude_input_in_output", "raw_prompt",
          "return_token_ids", "return_logprobs", "parameters", "id", "nobody"]  # fmt: skip


def bodies(seed: int) -> Iterator[bytes]:
    """Yield bodies that are no requests, or almost."""
    dice = random.Random(seed)
    good = {"text_input": "x", "sampling_parameters": json.dumps({"max_tokens": 1})}
    while True:
        match dice.randrange(6):
            case 0:
                yield dice.randbytes(dice.randrange(2000))
            case 1:
                text = json.dumps(good)
                yield text[: dice.randrange(len(text))].encode()
            case 2:
                yield json.dumps({**good, dice.choice(FIELDS): dice.choice(ODD)}).encode()
            case 3:
                name = dice.choice(["max_tokens", "interval_ms", "temperature", "seed", "top_p"])
                sampling = json.dumps({name: dice.choice(ODD)})
                yield json.dumps({**good, "sampling_parameters": sampling}).encode()
            case 4:
                depth = dice.choice([10, 1000, 20_000])
                yield b'{"text_input": ' + b"[" * depth + b"]" * depth + b"}"
            case _:
                fields = {dice.choice(FIELDS): dice.choice(ODD) for _ in range(4)}
                yield json.dumps(fields).encode()


def raw_requests(seed: int) -> Iterator[bytes]:
    """Yield bytes that are no HTTP, or HTTP that says something untrue of itself."""
    dice = random.Random(seed)
    start = f"POST {PATH} HTTP/1.1\r\nhost: pulse\r\n".encode()
    kinds: list[Callable[[], bytes]] = [
        lambda: dice.randbytes(dice.randrange(1, 3000)),
        lambda: start + b"content-length: -5\r\n\r\n{}",
        lambda: start + b"content-length: 2\r\ncontent-length: 7\r\n\r\n{}",
        lambda: start + b"content-length: 99999999999999999999\r\n\r\n{}",
        lambda: start + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nzz\r\n{}",
        lambda: start + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        lambda: start + b"x: " + b"y" * dice.choice([1000, 60_000, 300_000]) + b"\r\n\r\n",
        lambda: start + b"".join(b"h%d: v\r\n" % n for n in range(400)) + b"\r\n",
        lambda: b"GET " + b"/" * dice.choice([10, 9000, 200_000]) + b" HTTP/1.1\r\n\r\n",
        lambda: b"GET /v2/models/../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + dice.randbytes(200),
        lambda: start + b"content-length: 10\r\n\r\n{",
    ]
    while True:
        yield dice.choice(kinds)()


async def say(address: str, context: ssl.SSLContext, content: bytes) -> str:
    """Send bytes over TLS; return the first line that came back, empty where none did."""
    host, _, port = address.partition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(content)
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 3)
        writer.close()
    except (OSError, TimeoutError):
        return ""
    return line.decode(errors="replace").strip()
