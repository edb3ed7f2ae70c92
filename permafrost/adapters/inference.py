"""Ask an endpoint as any client does: through the edge, over TLS, knowing the edges as it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from model_registry.http import httpx
from permafrost.errors import Failed, Problem
from permafrost.pki.owners import EdgeTrust

CONNECT_S = 5.0
LOOK = "`permafrost status` shows the replicas; `journalctl -u 'triton-*'` on them says more"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and who gave it."""

    text: str
    replica: str
    checkpoint: str
    ttft_ms: float
    total_ms: float

    def as_dict(self) -> dict[str, object]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "text": self.text,
            "replica": self.replica,
            "checkpoint": self.checkpoint,
            "ttft_ms": round(self.ttft_ms, 1),
            "total_ms": round(self.total_ms, 1),
        }


def ask_endpoint(
    address: str,
    endpoint: str,
    text: str,
    *,
    trust: EdgeTrust,
    max_tokens: int,
    timeout_s: float,
    key: str = "",
    on_text: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Stream one greedy generation; ``on_text`` gets each piece as it comes."""
    sampling = json.dumps({"max_tokens": max_tokens, "temperature": 0})
    body = {"text_input": text, "stream": True, "sampling_parameters": sampling}
    url = f"https://{address}/v2/models/{endpoint}/generate_stream"
    limits = httpx.Timeout(timeout_s, connect=CONNECT_S)
    pieces: list[str] = []
    first = 0.0
    began = monotonic()
    try:
        with (
            httpx.Client(
                verify=trust.context(), http2=True, timeout=limits, trust_env=False
            ) as client,
            client.stream(
                "POST",
                url,
                json=body,
                headers=_authorization(key),
                extensions={"sni_hostname": trust.name},
            ) as response,
        ):
            _check(response, endpoint)
            for line in response.iter_lines():
                piece = _piece(line, endpoint)
                if piece is None:
                    continue
                first = first or monotonic() - began
                pieces.append(piece)
                on_text(piece)
            headers = response.headers
    except httpx.HTTPError as error:
        raise Failed(
            Problem(
                "ENDPOINT_UNREACHABLE",
                f"https://{address}: {error or type(error).__name__}",
                endpoint,
                "`permafrost status` shows edges and replicas",
            )
        ) from None
    total = monotonic() - began
    return Answer(
        text="".join(pieces),
        replica=headers.get("permafrost-replica", ""),
        checkpoint=headers.get("permafrost-checkpoint", ""),
        ttft_ms=1000 * (first or total),
        total_ms=1000 * total,
    )


def _authorization(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _check(response: httpx.Response, endpoint: str) -> None:
    if response.status_code == 200:
        return
    response.read()
    said = response.text.strip()[:300]
    if response.status_code == 429:
        raise Failed(
            Problem("ENDPOINT_BUSY", "every replica is busy", endpoint, "try again in a moment")
        )
    if response.status_code == 401:
        raise Failed(
            Problem(
                "CLIENT_KEY_REFUSED",
                f"HTTP 401: {said}",
                endpoint,
                "`permafrost client add NAME` makes a key; give it by PERMAFROST_CLIENT_KEY",
            )
        )
    if response.status_code == 503:
        raise Failed(
            Problem(
                "ENDPOINT_DOWN",
                "no replica takes requests",
                endpoint,
                "`permafrost status` says why each is out",
            )
        )
    raise Failed(
        Problem("ENDPOINT_FAILED", f"HTTP {response.status_code}: {said}", endpoint, LOOK)
    )


def _piece(line: str, endpoint: str) -> str | None:
    if not line.startswith("data:"):
        return None
    event = json.loads(line.removeprefix("data:"))
    if "error" in event:
        raise Failed(Problem("ENDPOINT_FAILED", str(event["error"]), endpoint, LOOK))
    return str(event.get("text_output", ""))
