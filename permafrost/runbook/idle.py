"""Wait until nothing is in flight at a replica; tell streams that only wait from work.

A bidirectional stream may stay open for ever. Which of them only wait for their client is
``permafrost.planning.streams``' to say: they are ended by policy, and counted. What is left at the
deadline is the operator's to decide.
"""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.planning.streams import StreamWatch
from permafrost.runbook.context import Context
from permafrost.runbook.edges import edges_that_are_off
from permafrost.runbook.looking import look_around, note_counts
from permafrost.topology import Node

EVERY_S = 0.5
AFTER_CUT_S = 15.0
IDLE_STREAM_S = 10.0
"""Of a replica whose endpoint the site file no longer names."""


@dataclass(slots=True)
class Idle:
    """How a replica became idle: what was ended on the way, and why nobody had to be asked."""

    idle_streams_ended: int = 0
    cut: int = 0
    note: str = ""


def await_idle(
    ctx: Context, node: Node, *, deadline_s: float, cut: bool, unseen: bool = False
) -> Idle:
    """Wait for zero in flight; raise Failed (DRAIN_DEADLINE) when the deadline passes.

    ``cut``: at the deadline end what is left instead, and count it. ``unseen``: edges that do not
    answer are not waited for.
    """
    watch = _Watch(ctx, node, unseen=unseen)
    if wait_until(watch.is_idle, clock=ctx.clock, deadline_s=deadline_s, every_s=EVERY_S):
        return watch.found
    if cut:
        ctx.guard()
        watch.found.cut += ctx.traffic.end_all(node.name).ended
        if wait_until(watch.is_idle, clock=ctx.clock, deadline_s=AFTER_CUT_S, every_s=EVERY_S):
            return watch.found
    raise Failed(
        Problem(
            "DRAIN_DEADLINE",
            f"not idle after {deadline_s:g} s: {watch.what_is_left()}. It gets no new requests "
            "and stays DRAINING",
            node.name,
            f"run `permafrost drain {node.name}` again to wait longer, with --cut to end what is "
            f"left, or `permafrost undrain {node.name}` to bring it back",
        )
    )


class _Watch:
    """Looks at edges and model server, and remembers since when nothing has moved on a stream."""

    def __init__(self, ctx: Context, node: Node, *, unseen: bool) -> None:
        self._ctx, self._node, self._unseen = ctx, node, unseen
        endpoint = ctx.site.inference.get(node.endpoint)
        idle_s = float(endpoint.drain_idle_stream_s) if endpoint else IDLE_STREAM_S
        self._streams = StreamWatch(idle_s)
        self.left = ""
        self.found = Idle()

    def is_idle(self) -> bool:
        """Whether nothing is in flight anywhere: at the edges' workers and at the model server.

        The lock is kept meanwhile: a drain may outlast its lease.
        """
        self._ctx.guard()
        traffic = self._ctx.traffic.observe()
        note_counts(self._ctx, traffic)
        try:
            if not self._unseen:
                edges_that_are_off(self._ctx, traffic, self._node.name)
        except PermafrostError as error:
            self.left = f"{error.problems[0].path} does not answer"
            self._streams = self._streams.busy()
            return False
        at_edges = traffic.in_flight(self._node.name)
        try:
            at_server = self._ctx.models.state(self._node.name).in_flight
        except PermafrostError as error:
            return self._is_gone(error) and not at_edges
        if at_server:
            self._streams = self._streams.busy()
            self.left = f"{at_edges} in flight at the edges, {at_server} at the model server"
            return False
        if not at_edges:
            return True
        self._streams, ended = end_idle_streams(self._ctx, self._streams, self._node.name)
        self.found.idle_streams_ended += ended
        self.left = f"{at_edges} open at the edges, nothing at the model server"
        return False

    def what_is_left(self) -> str:
        """Return what was seen last, with how much of it are streams, for who has to decide."""
        held = held_open(self._ctx, self._node.name)
        return f"{self.left}; {held} of them streams that clients hold open" if held else self.left

    def _is_gone(self, error: PermafrostError) -> bool:
        self._streams = self._streams.busy()
        self.left = f"the model server cannot be asked: {error.problems[0].message}"
        if not look_around(self._ctx, self._node).is_gone(self._node.name):
            return False
        self.found.note = "its machine is off or its host is lost; nothing can be in flight there"
        return True


def held_open(ctx: Context, replica: str) -> int:
    """Return how many streams clients hold open at a replica: they may send on, or never."""
    return sum(s.is_held for s in ctx.traffic.streams(replica))


def end_idle_streams(
    ctx: Context, watch: StreamWatch, replica: str, slot: str = ""
) -> tuple[StreamWatch, int]:
    """End what only waits, and return what is known then, and how many were ended.

    To be called when the model server was just seen with nothing in flight: the edges are asked
    after it.
    """
    watch = watch.quiet(ctx.traffic.streams(replica, slot=slot), ctx.clock.monotonic())
    idle = watch.idle(ctx.clock.monotonic())
    if not idle:
        return watch, 0
    ctx.guard()
    return watch, ctx.traffic.end_streams(idle)
