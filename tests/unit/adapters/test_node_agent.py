"""What the service on a node says, as values; trouble is told with the node's name."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from permafrost.adapters.node_agent import NodeAgent
from permafrost.adapters.ssh import CommandResult
from permafrost.errors import Failed

SAYS = {
    "node": "n1",
    "state": "ADMITTED",
    "checkpoint": "sha256:ab",
    "slot": "a",
    "pending": 1,
    "executing": 2,
    "reason": "",
}


class Says:
    """A shell that gives one answer and remembers what was asked."""

    def __init__(self, status: int, stdout: str, stderr: str = "") -> None:
        self.answer = CommandResult(status, stdout, stderr)
        self.asked: list[list[str]] = []

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        self.asked.append([node, *argv])
        return self.answer


def test_state() -> None:
    shell = Says(0, json.dumps(SAYS))
    facts = NodeAgent(shell).state("n1")
    assert (facts.state, facts.checkpoint, facts.in_flight) == ("ADMITTED", "sha256:ab", 3)
    assert shell.asked == [["n1", "sudo", "-n", "/usr/bin/permafrost-node", "state", "--json"]]


@pytest.mark.parametrize(
    ("status", "state", "passed"),
    [(0, "ADMITTED", True), (3, "OUT", False), (3, "ADMITTED", False), (0, "OUT", False)],
)
def test_a_probe_passes_only_when_all_say_so(status: int, state: str, passed: bool) -> None:
    shell = Says(status, json.dumps({**SAYS, "state": state, "reason": "token 3 differs"}))
    result = NodeAgent(shell).probe("n1")
    assert result.passed is passed
    assert result.detail == "token 3 differs"


@pytest.mark.parametrize("stdout", ["", "not json", "[]", '{"node": "n1"}'])
def test_an_answer_that_is_none(stdout: str) -> None:
    with pytest.raises(Failed, match="NODE_AGENT_UNREADABLE") as caught:
        NodeAgent(Says(127, stdout, "sudo: permafrost-node: command not found")).state("n1")
    assert caught.value.problems[0].path == "n1"
