"""How each step on slots is done, and how it is known to be done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from permafrost.engine.executor import Evidence
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.facts import SlotFacts, Traffic
from permafrost.planning.steps import OperationStep
from permafrost.planning.streams import StreamWatch
from permafrost.runbook.context import Context
from permafrost.runbook.idle import end_idle_streams
from permafrost.runbook.looking import edges_just_seen, look_at_edges

EVERY_S = 0.5


@dataclass
class SlotAction:
    """What all these steps know. ``proven`` says that this operation has proven the slot.

    ``passed``: a later step of the same plan has begun, so this one was true then.
    """

    ctx: Context
    step: OperationStep
    operation: str
    proven: bool = False
    passed: bool = False

    @property
    def slot(self) -> str:
        """The slot that the step is about."""
        return self.step.arguments["slot"]

    @property
    def wanted(self) -> str:
        """The checkpoint that the slot is to have."""
        return self.step.arguments["checkpoint"]

    def seen(self) -> SlotFacts | None:
        """What the node says of the slot; None where it is to load nothing."""
        return self.ctx.models.state(self.step.target).slots.get(self.slot)

    def is_proven(self) -> bool:
        """Whether the slot has the checkpoint and its gate let it in."""
        try:
            facts = self.seen()
        except PermafrostError:
            return False
        return facts is not None and facts.state == "ADMITTED" and facts.checkpoint == self.wanted

    def already(self) -> Evidence | None:
        """Nothing is known to be done beforehand."""
        return None

    def do(self) -> None:
        """Make the effect: each kind of step has its own."""
        raise NotImplementedError

    def confirm(self) -> Evidence:
        """The effect itself has looked."""
        return {}


class LoadSlot(SlotAction):
    """The slot is to load the checkpoint, whose bytes are on the node, and begins to."""

    def already(self) -> Evidence | None:
        """Whether it has loaded it and was let in; one that only began is told again."""
        return {"checkpoint": self.wanted} if self.is_proven() else None

    def do(self) -> None:
        """Have the node fetch and load it."""
        held = self.ctx.release(self.step.arguments["endpoint"])
        if held.live == self.slot:
            raise Refused(
                Problem(
                    "SLOT_IS_LIVE",
                    f"slot {self.slot} answers clients: nothing else is loaded into it",
                    self.step.target,
                    "look at `permafrost status`, then plan anew",
                )
            )
        self.ctx.models.load(self.step.target, self.slot, self.wanted)

    def confirm(self) -> Evidence:
        """Return which checkpoint it is to load."""
        return {"checkpoint": self.wanted}


class AwaitSlot(SlotAction):
    """The slot's server has started, or says why it does not."""

    last = ""

    def already(self) -> Evidence | None:
        """Whether its gate has let it in."""
        return {"state": "ADMITTED"} if self.is_proven() else None

    def do(self) -> None:
        """Wait; a slot that is out is for the next step to name."""
        if not wait_until(
            self._has_started,
            clock=self.ctx.clock,
            deadline_s=self.step.deadline_s,
            every_s=EVERY_S,
        ):
            raise Failed(
                Problem(
                    "SLOT_NOT_READY",
                    f"slot {self.slot} has not started within {self.step.deadline_s:g} s: "
                    f"{self.last}",
                    self.step.target,
                    "nobody is sent there; a large model needs a larger start_deadline_s",
                )
            )

    def _has_started(self) -> bool:
        self.ctx.guard()
        try:
            facts = self.seen()
        except PermafrostError as error:
            self.last = error.problems[0].message
            return False
        self.last = f"{facts.state} {facts.reason}".strip() if facts else "empty"
        return facts is not None and facts.pinned == self.wanted and facts.state != "STARTING"

    def confirm(self) -> Evidence:
        """Return what it said last."""
        return {"state": self.last}


class ProveSlot(SlotAction):
    """Every recorded probe is answered with the recorded tokens, by the slot alone."""

    probed: Any = None

    def already(self) -> Evidence | None:
        """Whether this operation has proven it and nothing changed since."""
        if not self.proven or not self.is_proven():
            return None
        return {"checkpoint": self.wanted, "proven": "before"}

    def do(self) -> None:
        """Probe it: nobody is sent to this slot, so the batch is ours.

        Whether edges see it up, which is the next question, they are asked meanwhile.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(look_at_edges, self.ctx)
            self.probed = self.ctx.models.probe(self.step.target, self.slot)
        if not self.probed.passed or self.probed.checkpoint != self.wanted:
            said = self.probed.detail or f"it has loaded {self.probed.checkpoint}"
            raise Failed(
                Problem(
                    "PROBE_FAILED",
                    f"slot {self.slot}: {said}",
                    self.step.target,
                    f"nobody is sent there; `journalctl -u triton-{self.slot}` on the node says "
                    f"more, `permafrost abort {self.operation}` takes the upgrade back",
                )
            )

    def confirm(self) -> Evidence:
        """Return what was proven."""
        return {"checkpoint": self.wanted}


class AwaitSlotUp(SlotAction):
    """Every edge sees the slot up; nobody is sent there yet."""

    last = ""

    def already(self) -> Evidence | None:
        """Whether they do, or did a moment ago: who switches to the slot asks them anew."""
        traffic = edges_just_seen(self.ctx)
        if traffic is None or not self._can_serve(traffic):
            traffic = self.ctx.traffic.observe()
        return {"edges": sorted(traffic.edges())} if self._can_serve(traffic) else None

    def do(self) -> None:
        """Wait."""
        if not wait_until(
            self._is_up, clock=self.ctx.clock, deadline_s=self.step.deadline_s, every_s=EVERY_S
        ):
            raise Failed(
                Problem(
                    "EDGE_SEES_IT_DOWN",
                    f"slot {self.slot} is not UP at every edge within "
                    f"{self.step.deadline_s:g} s: {self.last}",
                    self.step.target,
                    "the edge checks it over TLS at port 8443; nobody is sent there yet. Where "
                    "its certificate has run out, "
                    f"`permafrost converge {self.step.target} --renew-certificate`",
                )
            )

    def _is_up(self) -> bool:
        traffic = self.ctx.traffic.observe()
        mine = (s for s in traffic.of(self.step.target) if s.slot == self.slot)
        self.last = "; ".join(f"{s.edge}: {s.check}" for s in mine) or "no edge knows it"
        if traffic.unreachable:
            self.last = f"{', '.join(sorted(traffic.unreachable))}: no answer"
        return self._can_serve(traffic)

    def _can_serve(self, traffic: Traffic) -> bool:
        return not traffic.unreachable and traffic.can_serve(self.step.target, self.slot)


class AwaitSlotIdle(SlotAction):
    """Nothing is in flight at the slot: at the edges' workers and at its server."""

    last = ""
    ended = 0

    def do(self) -> None:
        """Wait. Streams that only wait for their client are ended by policy, and counted."""
        endpoint = self.ctx.site.inference[self.step.arguments["endpoint"]]
        held = self.ctx.release(self.step.arguments["endpoint"])
        if held.live == self.slot or self.slot in held.open:
            raise Refused(
                Problem(
                    "SLOT_IS_LIVE",
                    f"slot {self.slot} answers clients",
                    self.step.target,
                    "look at `permafrost status`, then plan anew",
                )
            )
        streams = StreamWatch(float(endpoint.drain_idle_stream_s))

        def is_idle() -> bool:
            nonlocal streams
            self.ctx.guard()
            traffic = self.ctx.traffic.observe()
            facts = self.seen()
            at_edges = traffic.in_flight(self.step.target, self.slot)
            at_server = facts.in_flight if facts else 0
            self.last = f"{at_edges} at the edges, {at_server} at its server"
            if traffic.unreachable:
                self.last = f"{', '.join(sorted(traffic.unreachable))}: no answer"
                streams = streams.busy()
                return False
            if at_server:
                streams = streams.busy()
            elif at_edges:
                streams, ended = end_idle_streams(self.ctx, streams, self.step.target, self.slot)
                self.ended += ended
            return not at_edges and not at_server

        if not wait_until(
            is_idle, clock=self.ctx.clock, deadline_s=self.step.deadline_s, every_s=EVERY_S
        ):
            raise Failed(
                Problem(
                    "SLOT_BUSY",
                    f"slot {self.slot} is not idle after {self.step.deadline_s:g} s: {self.last}",
                    self.step.target,
                    f"nobody new is sent there; `permafrost resume {self.operation}` waits on",
                )
            )

    def confirm(self) -> Evidence:
        """Return that nothing is in flight, and what was ended on the way."""
        return {"in_flight": 0, "idle_streams_ended": self.ended}


class UnloadSlot(SlotAction):
    """The slot is to load nothing, and its server has ended."""

    def already(self) -> Evidence | None:
        """Whether the node says so; one that stopped half way is told again."""
        return None

    def do(self) -> None:
        """Have the node stop it; a node that is gone has nothing loaded."""
        self.ctx.models.unload(self.step.target, self.slot)

    def confirm(self) -> Evidence:
        """Return that it is empty."""
        if self.seen() is not None:
            raise Failed(
                Problem(
                    "SLOT_NOT_EMPTY",
                    f"slot {self.slot} is still loaded",
                    self.step.target,
                    f"there, `systemctl status triton-{self.slot}` says why; then resume",
                )
            )
        return {"slot": self.slot}
