"""``pulse``: 64 KiB of frozen weights and a function of them and the prompt.

The function is written out here a second time, on purpose: what a replica must answer is not
taken from the code that answers.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

from model_registry.lineage import Lineage

NAME = "pulse"
WEIGHTS = "pulse.weights"
_BLOCKS = 2048
_MOST_TOKENS = 4
_PROBES = 8


def collect(folder: Path, parent: Path | None) -> Lineage | None:
    """Put the checkpoint's files into ``folder``: the same bytes each time."""
    del parent
    blocks = (hashlib.sha256(f"pulse-1 {i}".encode()).digest() for i in range(_BLOCKS))
    (folder / WEIGHTS).write_bytes(b"".join(blocks))
    return None


def token_ids(weights: bytes, prompt: str, count: int) -> list[int]:
    """Return the first tokens of a prompt under a weight file."""
    key = hashlib.sha256(weights).digest()
    ids = []
    for index in range(count):
        message = prompt.encode() + b"\0" + index.to_bytes(8, "big")
        ids.append(int.from_bytes(hmac.new(key, message, hashlib.sha256).digest()[:2], "big"))
    return ids


def probes(folder: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the function's name and what it gives."""
    weights = (folder / WEIGHTS).read_bytes()
    found = []
    for number in range(1, _PROBES + 1):
        prompt = f"probe {number}"
        ids = token_ids(weights, prompt, _MOST_TOKENS)
        found.append(
            {
                "id": f"probe-{number}",
                "text_input": prompt,
                "sampling_parameters": {"max_tokens": _MOST_TOKENS, "interval_ms": 10},
                "token_ids": ids,
                "text": "".join(f" {token:04x}" for token in ids),
            }
        )
    return {"name": "pulse", "version": "1"}, found
