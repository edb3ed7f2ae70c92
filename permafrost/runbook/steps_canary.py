"""A share of the requests for a new checkpoint: watched, and taken back at the first sign."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from permafrost.counts import Counts
from permafrost.engine.executor import Evidence
from permafrost.errors import Failed, Problem, Refused
from permafrost.planning.canary import Canary, Sides, failed_probe, sides, since, why_stop
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release
from permafrost.planning.slot_problems import edge_problems, left_problems, ready_problems
from permafrost.runbook.looking import look_at_slots
from permafrost.runbook.steps_release import ReleaseAction

LOOK_EVERY_S = 1.0


@dataclass
class WatchCanary(ReleaseAction):
    """The new slot has answered a share of the requests for as long as it was to, as well."""

    compared: dict[str, Any] = field(default_factory=dict)

    @property
    def canary(self) -> Canary:
        """How large the share is, how long, and what stops it."""
        return Canary.of_arguments(self.step.arguments)

    def already(self) -> Evidence | None:
        """Whether a later step has gone on from there; else it is watched from the beginning."""
        return {"passed": True} if self.passed else None

    def do(self) -> None:
        """Give the share, watch, and take it back at the first sign."""
        live, made = look_at_slots(self.ctx, self.step.target), self.made
        ready = ready_problems(self.ctx.site, live, made, made.spare, at_least=1)
        if problems := [*edge_problems(live), *ready]:
            raise Refused(*problems)
        held = self.ctx.release(made.endpoint)
        before = self._sides(live)
        self.tell(made)
        if reason := self._watch(made, before):
            raise self._withdrawn(replace(held, share=0, open=(held.live,)), reason)

    def confirm(self) -> Evidence:
        """Return what both slots did meanwhile."""
        return {**super().confirm(), **self.compared}

    def _withdrawn(self, alone: Release, reason: str) -> Failed:
        """End the share, unless the old version alone would be served by too few; say which.

        Replicas that have only the new one, because the old one failed there, would be lost by it.
        """
        spare, again = alone.spare, f"`permafrost resume {self.operation}` tries the share again"
        if left := left_problems(self.ctx.site, self.ctx.traffic.observe(), alone):
            return Failed(
                Problem(
                    "CANARY_KEPT",
                    f"{reason}. Slot {spare} keeps its share: {left[0].message}",
                    alone.endpoint,
                    "`permafrost status` shows the replicas: bring them back, then "
                    f"`permafrost abort {self.operation}` ends the share; {again}",
                )
            )
        self.tell(alone)
        return Failed(
            Problem(
                "CANARY_STOPPED",
                f"{reason}. Nobody is sent to slot {spare} any more: "
                f"{alone.checkpoint} answers every request",
                alone.endpoint,
                f"`permafrost abort {self.operation}` takes the upgrade back, {again}",
            )
        )

    def _watch(self, made: Release, before: tuple[Sides, Sides]) -> str:
        canary, clock = self.canary, self.ctx.clock
        end = clock.monotonic() + canary.seconds
        while True:
            is_last = clock.monotonic() >= end
            self.ctx.guard()
            live = look_at_slots(self.ctx, made.endpoint)
            new, old = (
                since(now, was) for now, was in zip(self._sides(live), before, strict=True)
            )
            self.compared = {"canary": new.as_dict(), "live_slot": old.as_dict()}
            reason = self._why_stop(live, made, new, old)
            if reason or is_last:
                return reason or self._untried(new)
            clock.sleep(LOOK_EVERY_S)

    def _why_stop(self, live: LiveState, made: Release, new: Counts, old: Counts) -> str:
        if live.traffic.unreachable:
            away = ", ".join(sorted(live.traffic.unreachable))
            return f"edges: {away} does not answer, what it does is not seen"
        probe = failed_probe(made.spare, made.slots[made.spare], live.nodes)
        return probe or why_stop(self.canary, new, old)

    def _untried(self, new: Counts) -> str:
        least = self.canary.least_requests
        if new.requests >= least:
            return ""
        return f"untried: {new.requests} requests in {self.canary.seconds:g} s, {least} at least"

    def _sides(self, live: LiveState) -> tuple[Sides, Sides]:
        made = self.made
        return (
            sides(live.traffic, made.endpoint, made.spare),
            sides(live.traffic, made.endpoint, made.live),
        )
