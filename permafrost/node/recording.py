"""Answering a probe set: one prompt at a time, with nobody else served meanwhile.

What is recorded is worth something only if the batch was ours alone. So before the first prompt
and after each one the counters are read: a request in flight, or a token that we did not ask for,
ends it with PROBE_NOT_QUIET.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .errors import NodeError
from .triton import Answer, Load, TritonError

PROMPT_DEADLINE_S = 120.0
SETTLE_EVERY_S, SETTLE_TRIES = 0.02, 150
MOST_PROBES = 256
MOST_BYTES = 1 << 20


class Engine(Protocol):
    """What recording needs of Triton."""

    def checkpoint(self) -> str:
        """Return the loaded digest."""

    def load(self) -> Load:
        """Return what is in flight and the tokens given so far."""

    def answer(
        self, text_input: str, sampling: dict[str, Any], deadline_s: float, top_k: int
    ) -> Answer:
        """Return one answer's tokens with the likeliest ones at each position."""


def read_request(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the probes and the number of log-probabilities that are asked for."""
    try:
        document = json.loads(content)
        probes = [
            {
                "id": str(p["id"]),
                "text_input": str(p["text_input"]),
                "sampling_parameters": {**p["sampling_parameters"], "temperature": 0, "seed": 0},
            }
            for p in document["probes"]
        ]
        top_k = int(document.get("top_k", 0))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise NodeError(
            "PROBE_SET_INVALID",
            f"not a probe set: {error!r}",
            "docs/runbook/model-fingerprint.md shows a probe set",
        ) from error
    if not 1 <= len(probes) <= MOST_PROBES:
        raise NodeError(
            "PROBE_SET_INVALID",
            f"{len(probes)} probes; 1 to {MOST_PROBES} are taken",
            "docs/runbook/model-fingerprint.md shows a probe set",
        )
    return probes, top_k


def answer_all(
    engine: Engine,
    probes: Sequence[dict[str, Any]],
    top_k: int,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[str, list[dict[str, Any]]]:
    """Ask every probe once; returns the digest that was loaded, and the answers.

    Raises NodeError (PROBE_NOT_QUIET, PROBE_UNANSWERED, CHECKPOINT_CHANGED).
    """
    try:
        loaded, before = engine.checkpoint(), engine.load()
        _require_idle(before)
        expected, answers = before.tokens, []
        for probe in probes:
            answer = engine.answer(
                probe["text_input"], probe["sampling_parameters"], PROMPT_DEADLINE_S, top_k
            )
            expected += len(answer.token_ids)
            _require_alone(_settled(engine, pause), expected)
            answers.append({**probe, **answer.as_dict()})
        if engine.checkpoint() != loaded:
            raise NodeError(
                "CHECKPOINT_CHANGED",
                "another checkpoint was loaded meanwhile",
                "run it again once nothing else is at work on the replica",
            )
    except TritonError as error:
        raise NodeError(
            "PROBE_UNANSWERED",
            str(error),
            "`journalctl -u 'triton-*'` says why its server does not answer",
        ) from error
    return loaded, answers


def _settled(engine: Engine, pause: Callable[[float], None]) -> Load:
    """Return the load once our own request is no longer counted: its answer comes just before.

    Whoever slips in meanwhile is given a token, and that is seen.
    """
    for _ in range(SETTLE_TRIES):
        load = engine.load()
        if load.idle:
            break
        pause(SETTLE_EVERY_S)
    return load


def _require_idle(load: Load) -> None:
    if not load.idle:
        raise NodeError(
            "PROBE_NOT_QUIET",
            f"{load.pending + load.executing} requests are in flight",
            "drain the replica first",
        )


def _require_alone(load: Load, expected: int) -> None:
    _require_idle(load)
    if load.tokens != expected:
        raise NodeError(
            "PROBE_NOT_QUIET",
            f"{load.tokens - expected} tokens were given to somebody else meanwhile",
            "drain the replica first",
        )
