"""Execute a plan's steps, one after the other, so that it may be killed anywhere.

For each step: is it true already? If not: the lock is checked, the intent journalled, the effect
made, the postcondition confirmed, the evidence journalled. Nothing is remembered between two
processes but plan and journal; what is true is looked at anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from permafrost.engine.crash import CrashPoint
from permafrost.engine.lock import LEASE_S
from permafrost.engine.state import Phase, StateStore
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.planning.steps import OperationStep
from permafrost.ports import Clock

Evidence = Mapping[str, Any]


class Paused(PermafrostError):  # noqa: N818
    """A person asked for a stop before the next step."""


class Action(Protocol):
    """How one step is done. Each method looks at the world anew."""

    def already(self) -> Evidence | None:
        """Return the evidence that the postcondition holds; None when there is work to do."""

    def do(self) -> None:
        """Make the effect; may be repeated after a crash at any point of it."""

    def confirm(self) -> Evidence:
        """Return the evidence that the postcondition holds; raise Failed when it does not."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step that is true now. ``changed`` is False when it was true already."""

    step: OperationStep
    changed: bool
    evidence: Evidence
    took_s: float = 0.0
    at: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for the receipt."""
        return {
            "id": self.step.id,
            "kind": self.step.kind,
            "target": self.step.target,
            "changed": self.changed,
            "took_s": round(self.took_s, 3),
            "evidence": dict(self.evidence),
        }


@dataclass
class Executor:
    """Runs the steps of one operation. ``label`` sets the steps of an abort apart."""

    store: StateStore
    clock: Clock
    guard: Callable[[], None]
    crash: CrashPoint
    operation: str
    command: str
    label: str = ""
    results: list[StepResult] = field(default_factory=list)

    def run(
        self,
        steps: tuple[OperationStep, ...],
        action_for: Callable[[OperationStep], Action],
    ) -> list[StepResult]:
        """Make every step true; raise what the first that cannot be made true raises."""
        for step in steps:
            if not self.store.runs.goes_on(self.operation, f"{self.label}{step.id} {step.kind}"):
                raise Paused(
                    Problem(
                        "OPERATION_PAUSED",
                        f"paused before {step}",
                        self.operation,
                        f"`permafrost abort {self.operation}` goes on"
                        if self.label
                        else f"`permafrost resume {self.operation}` goes on, "
                        f"`permafrost abort {self.operation}` takes back what was done",
                    )
                )
            self.results.append(self._step(step, action_for(step)))
        return self.results

    def _step(self, step: OperationStep, action: Action) -> StepResult:
        if step.deadline_s >= LEASE_S and not step.arguments.get("renews"):
            raise Failed(
                Problem(
                    "STEP_OUTLASTS_LEASE",
                    f"{step} may take {step.deadline_s:g} s, the lock is held for {LEASE_S}",
                    step.target,
                    "give the site file shorter deadlines, then plan anew; nothing was done",
                )
            )
        began = self.clock.monotonic()
        evidence = action.already()
        if evidence is not None:
            self._note(step, Phase.ALREADY, evidence)
            return StepResult(step, False, evidence, self.clock.monotonic() - began)
        self.guard()
        self._note(step, Phase.INTENT, {"detail": step.detail} if step.detail else {})
        self.crash(self.command, step, "before")
        try:
            action.do()
            evidence = action.confirm()
        except PermafrostError as error:
            self._note(step, Phase.FAILED, {"error": error.code, "message": str(error)})
            raise
        self.crash(self.command, step, "after")
        took = self.clock.monotonic() - began
        self._note(step, Phase.DONE, {**evidence, "took_s": round(took, 3)})
        return StepResult(step, True, evidence, took)

    def _note(self, step: OperationStep, phase: Phase, detail: Evidence) -> None:
        self.store.note(
            self.operation,
            f"{self.label}{step.id}",
            kind=step.kind,
            target=step.target,
            phase=phase,
            detail=detail,
        )
