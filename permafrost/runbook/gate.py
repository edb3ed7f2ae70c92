"""The gate through which a replica comes into rotation, and no other way."""

from __future__ import annotations

from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.facts import NodeFacts
from permafrost.runbook.context import Context
from permafrost.runbook.edges import edges_that_are_off
from permafrost.runbook.looking import note_counts
from permafrost.topology import Node, endpoint_of

UP_DEADLINE_S = 60.0
ASK_AGAIN_S = 0.5


def await_answer(ctx: Context, node: Node) -> NodeFacts:
    """Wait until the node has started, and return what it said then.

    After a boot it verifies its bytes by itself.
    """
    last = ""
    said: NodeFacts | None = None
    deadline_s = endpoint_of(ctx.site, node).start_deadline_s

    def has_started() -> bool:
        nonlocal last, said
        ctx.guard()
        try:
            said = ctx.models.state(node.name)
        except PermafrostError as error:
            last = error.problems[0].message
            return False
        last = said.reason or said.state
        return said.state != "STARTING"

    has_answered = wait_until(
        has_started, clock=ctx.clock, deadline_s=deadline_s, every_s=ASK_AGAIN_S
    )
    if not has_answered or said is None:
        raise Failed(
            Problem(
                "NODE_NOT_READY",
                f"has not started within {deadline_s} s: {last}",
                node.name,
                "`permafrost status` shows its VM; a large model needs a larger start_deadline_s",
            )
        )
    return said


def prove(ctx: Context, node: Node, pinned: str) -> None:
    """Have the node prove bytes and behaviour; raise Failed with the first difference."""
    result = ctx.models.probe(node.name)
    if result.passed and result.checkpoint != pinned:
        raise Failed(
            Problem(
                "CHECKPOINT_DIGEST_MISMATCH",
                f"serves {result.checkpoint}, the site pins {pinned}",
                node.name,
                "run `permafrost deploy`; it stays out of rotation until then",
            )
        )
    if not result.passed:
        raise Failed(
            Problem(
                "PROBE_FAILED",
                result.detail or "the answer is not the recorded one",
                node.name,
                "it stays out of rotation; `journalctl -u triton-a` on the node says more",
            )
        )


def await_up(ctx: Context, node: Node) -> None:
    """Wait until every edge sends the replica requests."""
    seen = ""

    def is_up() -> bool:
        nonlocal seen
        traffic = ctx.traffic.observe()
        note_counts(ctx, traffic)
        seen = (
            "; ".join(f"{s.edge}: {s.check}" for s in traffic.of(node.name) if s.is_live)
            or "no edge"
        )
        try:
            edges_that_are_off(ctx, traffic, node.name)
        except PermafrostError as error:
            seen = f"{error.problems[0].path} does not answer"
            return False
        return traffic.serves(node.name)

    if not wait_until(is_up, clock=ctx.clock, deadline_s=UP_DEADLINE_S, every_s=0.5):
        raise Failed(
            Problem(
                "EDGE_SEES_IT_DOWN",
                f"not UP at every edge within {UP_DEADLINE_S:g} s: {seen}",
                node.name,
                "the edge checks it over TLS at port 8443; is the node's HAProxy running? Where "
                "its certificate has run out, "
                f"`permafrost converge {node.name} --renew-certificate`",
            )
        )
