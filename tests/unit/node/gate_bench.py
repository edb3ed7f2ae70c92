"""A gate on a bench: a Triton that does as it is told, and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from permafrost.node.fingerprint import Probe
from permafrost.node.gate import Gate
from permafrost.node.triton import Load, TritonError

PINNED, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PROBES = (
    Probe("one", "first?", {"max_tokens": 3}, (1, 2, 3)),
    Probe("two", "second?", {"max_tokens": 3}, (4, 5, 6)),
    Probe("three", "third?", {"max_tokens": 3}, (7, 8, 9)),
)
ANSWERS = {p.text_input: p.token_ids for p in PROBES}


class FakeTriton:
    def __init__(self) -> None:
        self.up, self.hung, self.generates = True, False, True
        self.backend_lives = True
        self.digest = PINNED
        self.answers = dict(ANSWERS)
        self.flight = Load(0, 0, 100)
        self.asked: list[tuple[str, int]] = []
        self.while_it_waits: Callable[[], None] = lambda: None

    def _reach(self) -> None:
        if not self.up:
            raise TritonError("Triton does not listen", gone=True)
        if self.hung:
            raise TritonError("Triton did not answer in time", silent=True)

    def check_ready(self) -> None:
        self.while_it_waits()
        self._reach()

    def checkpoint(self) -> str:
        self._reach()
        return self.digest

    def load(self) -> Load:
        self._reach()
        return self.flight

    def tokens(self) -> int:
        return self.flight.tokens

    def backend_has_ended(self) -> bool:
        return not self.backend_lives

    def generate(self, text: str, sampling: dict[str, Any], deadline_s: float) -> tuple[int, ...]:
        self._reach()
        self.asked.append((text, sampling["max_tokens"]))
        if not self.generates:
            raise TritonError("Triton did not answer in time")
        return self.answers[text][: sampling["max_tokens"]]


class Bench:
    """A gate with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.triton = FakeTriton()
        self.gate = Gate(self.triton, PINNED, lambda: PROBES, lambda: self.time)

    def run(self, seconds: float = 0.4) -> None:
        self.time += seconds
        self.gate.tick()
        self.gate.step()

    @property
    def state(self) -> str:
        return self.gate.view().state

    @property
    def healthy(self) -> bool:
        return self.gate.view().healthy
