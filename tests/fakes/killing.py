"""Kill the executor at a chosen moment of a chosen step, as SIGKILL would."""

from __future__ import annotations

from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from tests.fakes.site import context
from tests.fakes.world import Cut, World


class KillAt:
    """The n-th moment (before or after a step) is the last one; None: it lives."""

    def __init__(self, moment: int | None = None) -> None:
        self.left = moment
        self.passed = 0

    def __call__(self, command: str, step: OperationStep, when: str) -> None:
        self.passed += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Cut


def another_process(ctx: Context, world: World) -> Context:
    """Return what a process that starts after the kill knows: the folder and the world."""
    return context(ctx.store.state_dir, world)
