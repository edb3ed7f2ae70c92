"""The gate under whatever happens, in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from permafrost.node.gate import ADMITTED
from tests.unit.node.gate_bench import ANSWERS, OTHER, PINNED, Bench


class GateMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: healthy means that this Triton passed the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.passed_since_restart = False
        real = self.bench.triton.generate

        def generate(text: str, sampling: dict[str, Any], deadline_s: float) -> tuple[int, ...]:
            answer = real(text, sampling, deadline_s)
            if text == "second?" and answer == ANSWERS[text]:
                self.passed_since_restart = self.bench.triton.digest == PINNED
            return answer

        self.bench.triton.generate = generate  # type: ignore[method-assign]

    @rule(seconds=st.sampled_from([0.4, 1.0, 3.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.run(seconds)

    @rule(digest=st.sampled_from([PINNED, OTHER]), right=st.booleans())
    def restart(self, digest: str, right: bool) -> None:
        self.bench.triton.up = False
        self.bench.run()
        self.passed_since_restart = False
        self.bench.triton.up, self.bench.triton.digest = True, digest
        self.bench.triton.answers["second?"] = ANSWERS["second?"] if right else (0, 0, 0)

    @rule(hung=st.booleans())
    def hang(self, hung: bool) -> None:
        self.bench.triton.hung = hung

    @rule()
    def probe(self) -> None:
        self.bench.gate.probe()

    @rule()
    def withdraw(self) -> None:
        self.bench.gate.withdraw("by hand")

    @invariant()
    def admitted_tells_what_is_loaded(self) -> None:
        if self.bench.state == ADMITTED:
            assert self.bench.gate.view().loaded == PINNED

    @invariant()
    def healthy_means_passed(self) -> None:
        if self.bench.healthy:
            assert self.passed_since_restart
            assert self.bench.triton.digest == PINNED
            assert self.bench.triton.answers == ANSWERS


GateMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestGateMachine = GateMachine.TestCase
