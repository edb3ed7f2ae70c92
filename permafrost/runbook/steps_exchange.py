"""How a replica is made to hold one slot instead of the other, and let in again."""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.engine.executor import Action, Evidence
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.facts import ServerState
from permafrost.planning.slot_steps import MOVED_TO
from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from permafrost.runbook.edges import set_on_edges
from permafrost.runbook.steps_slot import SlotAction


def holds_alone(ctx: Context, node: str, slot: str, checkpoint: str) -> bool:
    """Whether a node is to load this checkpoint in this slot, and nothing in the other."""
    try:
        told = ctx.models.state(node).slots
    except PermafrostError:
        return False
    return {s: facts.pinned for s, facts in told.items()} == {slot: checkpoint}


@dataclass
class UnlessMoved:
    """A step of a drain before an exchange: it is over once the exchange has been made."""

    ctx: Context
    step: OperationStep
    inner: Action

    def already(self) -> Evidence | None:
        """Whether the replica holds the new slot alone; else what the step itself says."""
        slot, _, checkpoint = self.step.arguments[MOVED_TO].partition("=")
        if holds_alone(self.ctx, self.step.target, slot, checkpoint):
            return {"moved": "before"}
        return self.inner.already()

    def do(self) -> None:
        """Do the step itself."""
        self.inner.do()

    def confirm(self) -> Evidence:
        """Return the step's own evidence."""
        return self.inner.confirm()


class Fetch(SlotAction):
    """The checkpoint's bytes are on the node, verified; what it serves is not touched."""

    def already(self) -> Evidence | None:
        """Whether a slot has loaded it."""
        return {"checkpoint": self.wanted} if self.is_proven() else None

    def do(self) -> None:
        """Have the node fetch it."""
        self.ctx.models.fetch(self.step.target, self.wanted)

    def confirm(self) -> Evidence:
        """Return what is there."""
        return {"checkpoint": self.wanted}


class ExchangeSlot(SlotAction):
    """The node loads the checkpoint in this slot, and nothing in the other."""

    def already(self) -> Evidence | None:
        """Whether that is so and its gate let it in; one that only began is told again."""
        held = holds_alone(self.ctx, self.step.target, self.slot, self.wanted)
        return {"checkpoint": self.wanted} if held and self.is_proven() else None

    def do(self) -> None:
        """Have the node do it, unless somebody could be sent there."""
        traffic = self.ctx.traffic.observe()
        told = sorted({s.edge for s in traffic.of(self.step.target) if s.takes_requests})
        if told or traffic.unreachable:
            said = f"{', '.join(told)} sends it requests" if told else "an edge does not answer"
            raise Failed(
                Problem(
                    "SLOT_IS_LIVE",
                    f"its slots are not exchanged: {said}",
                    self.step.target,
                    f"`permafrost resume {self.operation}` once `permafrost status` is right",
                )
            )
        self.ctx.models.exchange(self.step.target, self.slot, self.wanted)

    def confirm(self) -> Evidence:
        """Return which checkpoint it is to load."""
        return {"checkpoint": self.wanted}


class LetIn(SlotAction):
    """Every edge may send the replica requests: its slot is proven."""

    skipped: tuple[str, ...] = ()

    def already(self) -> Evidence | None:
        """Whether they may, and it still is proven."""
        traffic = self.ctx.traffic.observe()
        ready = all(s.admin is ServerState.READY for s in traffic.of(self.step.target))
        kept = any(self.step.target in away for away in traffic.away_in_file.values())
        if traffic.unreachable or not ready or kept or not self.is_proven():
            return None
        return {"edges": sorted(traffic.edges())}

    def do(self) -> None:
        """Set it on every edge, unless the slot is not proven any more."""
        if not self.is_proven():
            raise Failed(
                Problem(
                    "REPLICA_NOT_PROVEN",
                    f"slot {self.slot} is not admitted with {self.wanted}",
                    self.step.target,
                    f"nobody is sent there; `permafrost resume {self.operation}` proves it again",
                )
            )
        self.skipped, _ = set_on_edges(self.ctx, self.step.target, ServerState.READY)

    def confirm(self) -> Evidence:
        """Return which edges are off."""
        return {"off": list(self.skipped)}
