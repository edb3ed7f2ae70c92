"""Wait until nothing is in flight at a replica; tell streams that only wait from work.

A bidirectional stream may stay open for ever. While the model server has nothing of this replica's
pending for a while, streams on which nothing moves only wait for their client: they are ended by
policy, and counted. What is left at the deadline is the operator's to decide.
"""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.runbook.context import Context
from permafrost.runbook.edges import edges_that_are_off
from permafrost.runbook.looking import look_around
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
            f"not idle after {deadline_s:g} s: {watch.left}. It gets no new requests and stays "
            "DRAINING",
            node.name,
            f"run `permafrost drain {node.name}` again to wait longer, with --cut to end what is "
            f"left, or `permafrost undrain {node.name}` to bring it back",
        )
    )


class _Watch:
    """Looks at edges and model server, and remembers since when the latter has had nothing."""

    def __init__(self, ctx: Context, node: Node, *, unseen: bool) -> None:
        self._ctx, self._node, self._unseen = ctx, node, unseen
        self._quiet_since: float | None = None
        endpoint = ctx.site.inference.get(node.endpoint)
        self._idle_s = float(endpoint.drain_idle_stream_s) if endpoint else IDLE_STREAM_S
        self.left = ""
        self.found = Idle()

    def is_idle(self) -> bool:
        """Whether nothing is in flight anywhere: at the edges' workers and at the model server.

        The lock is kept meanwhile: a drain may outlast its lease.
        """
        self._ctx.guard()
        traffic = self._ctx.traffic.observe()
        try:
            if not self._unseen:
                edges_that_are_off(self._ctx, traffic, self._node.name)
        except PermafrostError as error:
            self.left = f"{error.problems[0].path} does not answer"
            self._quiet_since = None
            return False
        at_edges = traffic.in_flight(self._node.name)
        try:
            at_server = self._ctx.models.state(self._node.name).in_flight
        except PermafrostError as error:
            return self._is_gone(error) and not at_edges
        if at_server:
            self._quiet_since = None
            self.left = f"{at_edges} in flight at the edges, {at_server} at the model server"
            return False
        if not at_edges:
            return True
        self.left = f"{at_edges} open at the edges, nothing at the model server"
        self._end_idle_streams()
        return False

    def _end_idle_streams(self) -> None:
        now = self._ctx.clock.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now
        if now - self._quiet_since >= self._idle_s:
            self._ctx.guard()
            done = self._ctx.traffic.end_idle_streams(self._node.name, idle_s=self._idle_s)
            self.found.idle_streams_ended += done.ended

    def _is_gone(self, error: PermafrostError) -> bool:
        self._quiet_since = None
        self.left = f"the model server cannot be asked: {error.problems[0].message}"
        if not look_around(self._ctx, self._node).is_gone(self._node.name):
            return False
        self.found.note = "its machine is off or its host is lost; nothing can be in flight there"
        return True
