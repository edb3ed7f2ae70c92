"""What the gate needs of a model server, and what it tells: values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .triton import Load


class Server(Protocol):
    """What the gate needs of Triton."""

    def check_ready(self) -> None:
        """Raise TritonError unless ready."""

    def checkpoint(self) -> str:
        """Return the loaded digest."""

    def load(self) -> Load:
        """Return what is in flight."""

    def tokens(self) -> int:
        """Return how many tokens were given so far, without a call to Triton."""

    def backend_has_ended(self) -> bool:
        """Whether the model's backend is dead."""

    def generate(
        self, text_input: str, sampling: dict[str, Any], deadline_s: float
    ) -> tuple[int, ...]:
        """Return the tokens of an answer."""


@dataclass(frozen=True)
class View:
    """The gate's state at one moment."""

    state: str
    reason: str
    load: Load
    healthy: bool
    loaded: str = ""
    """The digest that this Triton itself said; empty before it was asked and once it is gone."""
    must_restart: bool = False
    """Nothing but another start brings this Triton back."""


@dataclass(frozen=True)
class Verdict:
    """The result of a probe that somebody asked for."""

    passed: bool
    detail: str
    quiet: bool
    probes: int
