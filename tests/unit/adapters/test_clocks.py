"""Reading clocks: what the question's own duration says, and what chrony answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from permafrost.adapters.clocks import read_clocks
from permafrost.adapters.ssh import CommandResult
from permafrost.errors import Failed, Problem
from permafrost.facts import ClockFacts

FOLLOWS = (
    "0A400102,10.64.1.2,3,1795703523.1,0.000001,0.000002,0.00001,-1.2,0.0,0.1,0.001,0.0002,64.2,"
)
SILENT = CommandResult(0, "", "")


@dataclass
class Nodes:
    """Nodes whose clocks are ahead by ``ahead``; each question takes what ``takes`` says."""

    ahead: float = 0.0
    takes: Sequence[float] = (0.2, 0.2, 0.2)
    tracking: CommandResult = SILENT
    time: float = 1000.0
    asked: list[Sequence[str]] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        self.asked.append(argv)
        if node == "gone":
            raise Failed(Problem("NODE_UNREACHABLE", "no route"))
        if argv[0] != "date":
            return self.tracking
        # All of the delay is on the way there: the worst that a symmetric guess can meet.
        self.time += self.takes[sum(a[0] == "date" for a in self.asked) - 1]
        return CommandResult(0, f"{self.time + self.ahead:.9f}\n", "")


def read(nodes: Nodes, name: str = "n") -> ClockFacts | None:
    return read_clocks(nodes, [name], nodes.now)[name]


@pytest.mark.parametrize("ahead", [0.0, 7.25, -7.25])
def test_the_truth_lies_within_the_uncertainty(ahead: float) -> None:
    found = read(Nodes(ahead=ahead, takes=(2.0, 0.3, 0.5)))
    assert found is not None
    assert found.uncertainty_s == pytest.approx(0.15), "the quickest of three"
    assert abs(found.offset_s - ahead) <= found.uncertainty_s + 1e-6


def test_a_node_that_does_not_answer_is_none_and_hides_no_other() -> None:
    nodes = Nodes()
    found = read_clocks(nodes, ["gone"], nodes.now)
    assert found == {"gone": None}
    assert read(Nodes(takes=(0.1,) * 3)) is not None


@pytest.mark.parametrize(
    ("answer", "has_keeper", "follows"),
    [
        (CommandResult(0, FOLLOWS + "Normal\n", ""), True, "10.64.1.2"),
        (CommandResult(0, FOLLOWS + "Not synchronised\n", ""), True, ""),
        (CommandResult(0, "", ""), False, ""),
        (CommandResult(1, "506 Cannot talk to daemon\n", ""), False, ""),
    ],
)
def test_what_chrony_says(answer: CommandResult, has_keeper: bool, follows: str) -> None:
    found = read(Nodes(tracking=answer))
    assert found is not None
    assert (found.has_keeper, found.follows) == (has_keeper, follows)
