"""What is asked, and the tokens that the frozen model must answer, known before it is asked.

``chat``: the probes of the checkpoint's fingerprint, recorded from the engine alone.
``pulse``: computed here from the weight file by the published rule, independent of the server's
code: with ``key = sha256(weights)``, token ``i`` of prompt ``P`` is the first two bytes, big
endian, of ``hmac_sha256(key, P + 0x00 + i as eight bytes big endian)``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: the JSON body (without ``stream``) and the token ids that must come back.

    ``otherwise``: checkpoints that may answer instead, each with its own token ids.
    """

    body: Mapping[str, Any]
    expected: tuple[int, ...]
    otherwise: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def judged_by(self, answered: str, checkpoint: str) -> tuple[str, tuple[int, ...]]:
        """Return the checkpoint and the tokens that an answer is held to: those it names.

        ``answered`` names none that may answer: then it is held to ``checkpoint``.
        """
        if answered in self.otherwise:
            return answered, self.otherwise[answered]
        return checkpoint, self.expected


class Workload(Protocol):
    """A source of asks: the n-th is the same whenever it is asked for."""

    def ask(self, n: int) -> Ask:
        """Return the n-th ask."""
        ...


class Conversations(Protocol):
    """A source of conversations: what is asked next follows from what was answered so far."""

    def turn(self, conversation: int, said: Sequence[tuple[int, ...]]) -> Ask:
        """Return the next ask of a conversation, given the answers to its earlier ones."""
        ...


def pulse_tokens(weights: bytes, prompt: str, count: int) -> tuple[int, ...]:
    """Return the first ``count`` token ids of a prompt under a pulse weight file."""
    key = hashlib.sha256(weights).digest()
    text = prompt.encode()
    return tuple(
        int.from_bytes(hmac.digest(key, text + b"\0" + i.to_bytes(8, "big"), "sha256")[:2], "big")
        for i in range(count)
    )


@dataclass(frozen=True, slots=True)
class PulseWorkload:
    """Prompts without end; each answer takes ``max_tokens * interval_ms`` milliseconds."""

    weights: bytes
    max_tokens: int = 16
    interval_ms: int = 250
    seed: int = 0
    others: Mapping[str, bytes] = field(default_factory=dict)
    """Weights of further checkpoints that may answer, by their digests."""

    def ask(self, n: int) -> Ask:
        """Return the n-th ask; its prompt is drawn from the seed and n alone."""
        dice = random.Random(self.seed * 1_000_003 + n)  # noqa: S311 - a prompt, no secret
        return self._asking(f"pulse {self.seed} {n} {dice.random():.9f}")

    def turn(self, conversation: int, said: Sequence[tuple[int, ...]]) -> Ask:
        """Return the next turn: the prompt is the transcript, with the answers as they came."""
        lines = [f"conversation {self.seed} {conversation}"]
        for number, tokens in enumerate(said, 1):
            lines += [f"user: {number}", f"assistant: {' '.join(map(str, tokens))}"]
        return self._asking("\n".join([*lines, f"user: {len(said) + 1}"]))

    def _asking(self, prompt: str) -> Ask:
        parameters = {"max_tokens": self.max_tokens, "interval_ms": self.interval_ms}
        return Ask(
            body={
                "text_input": prompt,
                "sampling_parameters": json.dumps(parameters),
                "return_token_ids": True,
            },
            expected=pulse_tokens(self.weights, prompt, self.max_tokens),
            otherwise={
                digest: pulse_tokens(weights, prompt, self.max_tokens)
                for digest, weights in self.others.items()
            },
        )


@dataclass(frozen=True, slots=True)
class FingerprintWorkload:
    """The probes of a checkpoint's fingerprint, in turn."""

    probes: Sequence[Mapping[str, Any]]
    others: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Probes of further checkpoints that may answer, by their digests: of the same questions."""

    def ask(self, n: int) -> Ask:
        """Return the n-th ask: the probes one after another, round and round."""
        probe = self.probes[n % len(self.probes)]
        return Ask(
            body={
                "text_input": probe["text_input"],
                "sampling_parameters": json.dumps(probe["sampling_parameters"]),
                "return_token_ids": True,
            },
            expected=tuple(probe["token_ids"]),
            otherwise={
                digest: next(
                    tuple(other["token_ids"]) for other in probes if _asks(other) == _asks(probe)
                )
                for digest, probes in self.others.items()
            },
        )

    def unknown(self) -> list[str]:
        """Return the questions of which another checkpoint's answer is not known."""
        return [
            str(probe["text_input"])
            for probe in self.probes
            for probes in self.others.values()
            if all(_asks(other) != _asks(probe) for other in probes)
        ]


def _asks(probe: Mapping[str, Any]) -> tuple[Any, Any]:
    return probe["text_input"], probe["sampling_parameters"]
