"""Edges are asked at the same time: a drain under load waits for the slowest, not for all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from threading import Barrier

from permafrost.adapters.haproxy.runtime import HaproxyRuntime
from permafrost.adapters.ssh import CommandResult

EDGES = ("one", "two")


class Together:
    """A shell on which no edge answers before the other one is asked."""

    def __init__(self, answer: object) -> None:
        self._said = json.dumps(answer)
        self._barrier = Barrier(len(EDGES))

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        self._barrier.wait(10)
        return CommandResult(0, self._said, "")


def test_streams_of_all_edges_are_asked_at_once() -> None:
    row = {"worker": 7, "name": "0x1#1", "asking": True, "moved": [1, 2]}
    seen = HaproxyRuntime(EDGES, Together({"streams": [row]})).streams("lab-pulse-01")
    assert [s.edge for s in seen] == list(EDGES)


def test_what_is_open_is_ended_on_all_edges_at_once() -> None:
    ended = HaproxyRuntime(EDGES, Together({"open": 3, "closed": 2})).end_all("lab-pulse-01")
    assert (ended.open, ended.ended) == (6, 4)
