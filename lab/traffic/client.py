"""One request over HTTP, read to its end or its loss. Never retries: the site must not need it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from lab.traffic.outcome import OK_STATUS, Answer, judge
from lab.traffic.record import Kind, Record
from lab.traffic.workload import Ask


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as clients see it. ``base_url`` has no trailing slash.

    ``key``: a client's, where the site asks for one.
    """

    base_url: str
    model: str
    checkpoint: str
    timeout_s: float
    key: str = ""


def token_ids(message: dict[str, Any]) -> tuple[int, ...]:
    """Return the token ids of one message; Triton writes a tensor of one element as a scalar."""
    value = message.get("token_ids", [])
    return tuple(value) if isinstance(value, list) else (value,)


async def send(
    session: aiohttp.ClientSession,
    target: Target,
    request_id: str,
    kind: Kind,
    ask: Ask,
    late_ms: float = 0.0,
) -> Record:
    """Send one request and return its record; whatever goes wrong is in the record.

    ``late_ms`` is how much later than planned it leaves.
    """
    start = time.time()
    came: list[float] = []
    received: list[int] = []
    status, replica, checkpoint, error = 0, "", "", ""
    headers = {"x-request-id": request_id}
    if target.key:
        headers["authorization"] = f"Bearer {target.key}"
    verb = "generate_stream" if kind is Kind.STREAM else "generate"
    try:
        async with session.post(
            f"{target.base_url}/v2/models/{target.model}/{verb}",
            json={**ask.body, "stream": kind is Kind.STREAM},
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=target.timeout_s),
        ) as response:
            replica = response.headers.get("permafrost-replica", "")
            checkpoint = response.headers.get("permafrost-checkpoint", "")
            status = response.status
            if status != OK_STATUS:
                error = (await response.text())[:200]
            elif kind is Kind.WHOLE:
                received.extend(token_ids(await response.json(content_type=None)))
                came.append(time.time())
            else:
                async for line in response.content:
                    if line.startswith(b"data: "):
                        message = json.loads(line[6:])
                        if "error" in message:
                            error = str(message["error"])[:200]
                            break
                        received.extend(token_ids(message))
                        came.append(time.time())
    except (TimeoutError, aiohttp.ClientError, ValueError) as problem:
        error = f"{type(problem).__name__}: {problem}"[:200]
    answer = Answer(status, tuple(received), checkpoint, replica, error)
    pinned, expected = ask.judged_by(checkpoint, target.checkpoint)
    return Record(
        id=request_id,
        kind=kind,
        start=start,
        first_token=came[0] if came else None,
        end=time.time(),
        status=status,
        replica=replica,
        checkpoint=checkpoint,
        tokens=answer.tokens,
        expected=expected,
        outcome=judge(answer, expected, pinned),
        error=error,
        token_ms=tuple(round((moment - start) * 1000, 1) for moment in came),
        late_ms=late_ms,
    )
