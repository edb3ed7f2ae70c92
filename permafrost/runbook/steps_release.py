"""How it is recorded what an endpoint's slots hold, and how edges are told which one answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from permafrost.engine.executor import Evidence
from permafrost.engine.releases import record_release
from permafrost.engine.timestamps import now_text
from permafrost.engine.waiting import wait_until
from permafrost.errors import Problem, Refused
from permafrost.planning.force import Force, force_of
from permafrost.planning.forced_switch import switch_problems
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release, slots_of
from permafrost.planning.slot_problems import (
    could_serve,
    edge_problems,
    left_problems,
    ready_problems,
)
from permafrost.planning.slot_steps import release_of_arguments
from permafrost.runbook.edges import edges_that_are_off
from permafrost.runbook.looking import look_at_slots, note_counts
from permafrost.runbook.slots import routes
from permafrost.runbook.steps_slot import EVERY_S, SlotAction
from permafrost.topology import replicas


@dataclass
class ReleaseAction(SlotAction):
    """A step on an endpoint's record and on what the edges know of it."""

    told: dict[str, Any] = field(default_factory=dict)

    @property
    def made(self) -> Release:
        """What is to hold."""
        made = release_of_arguments(self.step.target, self.step.arguments)
        return replace(made, operation=self.operation, at=now_text())

    @property
    def floor(self) -> int:
        """How many replicas must go on serving."""
        return self.ctx.site.inference[self.step.target].min_ready

    @property
    def force(self) -> Force | None:
        """What may be waived."""
        return force_of(self.step.arguments.get("force"))

    def is_recorded(self) -> bool:
        """Whether the record says so."""
        return _said(self.ctx.release(self.step.target)) == _said(self.made)

    def already(self) -> Evidence | None:
        """Whether the record says so, and every edge; or a later step has gone on from there."""
        if self.passed:
            return {"passed": True}
        if not self.is_recorded():
            return None
        traffic = self.ctx.traffic.observe()
        if traffic.unreachable and self.force is not Force.UNSEEN:
            return None
        if traffic.routes_as(self.wanted_routes()) != traffic.edges():
            return None
        return {"live": self.made.live, "edges": sorted(traffic.edges())}

    def wanted_routes(self) -> dict[str, str]:
        """Return what every edge must know for it."""
        return routes(self.ctx, self.made)

    def confirm(self) -> Evidence:
        """Return what holds."""
        made = self.made
        return {"live": made.live, "slots": dict(made.slots), "share": made.share, **self.told}

    def tell(self, made: Release, *, but: frozenset[str] = frozenset()) -> None:
        """Tell every edge, then record it: it holds when all say so. ``but``: these not."""
        began = self.ctx.clock.monotonic()
        note_counts(self.ctx, self.ctx.traffic.set_routes(routes(self.ctx, made), but=but))
        mixed_s = self.ctx.clock.monotonic() - began
        record_release(self.ctx.store, made)
        self.told["edges_mixed_at_most_s"] = round(mixed_s, 3)


class RecordRelease(ReleaseAction):
    """It is decided, durably, what the slots hold; the edges know which may be asked for."""

    def is_recorded(self) -> bool:
        """Whether the slots are recorded so: what is proven and open besides may stay open.

        A share is another matter: that of an operation that was killed has nobody to watch it.
        """
        held, made = self.ctx.release(self.step.target), self.made
        is_open = set(made.open) <= set(held.open)
        return dict(held.slots) == dict(made.slots) and is_open and held.share == made.share

    def wanted_routes(self) -> dict[str, str]:
        """Return what every edge must know by the record."""
        return routes(self.ctx)

    def do(self) -> None:
        """Tell the edges, then record it; which slot answers is not changed by it.

        A slot that is given up may have a share or pins, and each edge ends that in its turn: the
        record has it until all have, so that no edge sends requests to what is not recorded. A
        slot that is to be filled is none that edges are told of yet.
        """
        held, made = self.ctx.release(self.step.target), self.made
        if held.live != made.live:
            raise Refused(
                Problem(
                    "SLOT_IS_LIVE",
                    f"slot {held.live} answers for {self.step.target}, not {made.live}",
                    self.step.target,
                    "look at `permafrost status`, then plan anew",
                )
            )
        traffic = self.ctx.traffic.observe()
        if problems := left_problems(self.ctx.site, traffic, made):
            raise Refused(*problems)
        off = frozenset(traffic.unreachable)
        if self.force is not Force.UNSEEN:
            off = edges_that_are_off(self.ctx, traffic, "which slot answers")
        self.told["off"] = sorted(off)
        self.tell(made, but=off)


class SetShare(ReleaseAction):
    """Every edge sends the slot beside the live one its share of the requests."""

    def do(self) -> None:
        """Tell every edge, unless too few would serve then."""
        live, made = look_at_slots(self.ctx, self.step.target), self.made
        problems = [*edge_problems(live), *self._too_few(live, made)]
        if problems:
            raise Refused(*problems)
        self.tell(made)

    def _too_few(self, live: LiveState, made: Release) -> list[Problem]:
        slots = slots_of(made.routes(), made.endpoint)
        able = could_serve(self.ctx.site, live.traffic, made.endpoint, slots)
        if len(able) >= self.floor:
            return []
        return [
            Problem(
                "SLOT_NOT_READY",
                f"slot {' and '.join(sorted(slots))} of {made.endpoint}: "
                f"{', '.join(able) or 'nobody'} could serve, it must keep {self.floor}",
                made.endpoint,
                "nothing was switched; `permafrost status` shows the replicas",
            )
        ]


class CutOver(ReleaseAction):
    """Every edge sends the endpoint's requests to another slot, proven on each replica.

    With ``part`` it is proven on ``min_ready`` of them: the others follow.
    """

    def do(self) -> None:
        """Look once more, tell every edge, then record it: it is live when all say so."""
        live, made = look_at_slots(self.ctx, self.step.target), self.made
        if problems := self._problems(live, made):
            raise Refused(*problems)
        self.told["in_flight"] = {
            n.name: live.traffic.in_flight(n.name) for n in replicas(self.ctx.site, made.endpoint)
        }
        # Who is silent speaks against it, but where a level leaves that edge as it is.
        self.tell(made, but=frozenset(live.traffic.unreachable))

    def _problems(self, live: LiveState, made: Release) -> tuple[Problem, ...]:
        if "part" in self.step.arguments:
            ready = ready_problems(self.ctx.site, live, made, made.live, at_least=self.floor)
            return (*edge_problems(live), *ready)
        problems, waived = switch_problems(self.ctx.site, live, made, made.live, self.force)
        if self.force is not None:
            self.told |= {"force": self.force.value, "waived": list(waived)}
        return problems


class KeepPins(ReleaseAction):
    """Conversations that pin the version of before have had their time."""

    def already(self) -> Evidence | None:
        """Whether a later step has ended it; else the time begins anew."""
        return {"passed": True} if self.passed else None

    def do(self) -> None:
        """Wait."""
        pins_s = float(self.step.arguments["pins_s"])
        until = self.ctx.clock.monotonic() + pins_s

        def is_over() -> bool:
            self.ctx.guard()
            return self.ctx.clock.monotonic() >= until

        wait_until(is_over, clock=self.ctx.clock, deadline_s=pins_s + 1, every_s=EVERY_S)


def _said(held: Release) -> tuple[object, ...]:
    return (held.live, dict(held.slots), held.open, held.share)
