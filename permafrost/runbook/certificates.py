"""Renew the certificate of a replica and nothing else, while an operation on it is unfinished.

Nothing is drained: HAProxy reloads, what is open goes on under the certificate of before, and no
slot is touched. What the node is configured as is not noted: the next deployment does the rest.
"""

from __future__ import annotations

from permafrost.engine.state import Phase
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.ports import ConvergeResult
from permafrost.runbook.context import Context
from permafrost.runbook.gate import ASK_AGAIN_S, UP_DEADLINE_S
from permafrost.runbook.mending import is_shut_out
from permafrost.runbook.operations import Journal
from permafrost.topology import Node

STEP = "renew-certificate"


def write_alone(ctx: Context, node: Node, journal: Journal) -> ConvergeResult:
    """Give a replica another certificate, and wait until edges see its proven slots up."""
    journal(STEP, node.name, Phase.INTENT, {})
    ctx.guard()
    try:
        ctx.converger.renew_certificate(node)
        written = ctx.converger.write_certificate(node)
        _await_let_in(ctx, node)
    except PermafrostError as error:
        journal(STEP, node.name, Phase.FAILED, {"error": error.code})
        raise
    journal(STEP, node.name, Phase.DONE, {"changed": written.changed})
    return written


def _await_let_in(ctx: Context, node: Node) -> None:
    def is_let_in() -> bool:
        ctx.guard()
        return not is_shut_out(ctx, node)

    if not wait_until(is_let_in, clock=ctx.clock, deadline_s=UP_DEADLINE_S, every_s=ASK_AGAIN_S):
        places = ctx.traffic.observe().of(node.name)
        seen = "; ".join(sorted(f"{s.edge}: {s.check}" for s in places))
        raise Failed(
            Problem(
                "EDGE_SEES_IT_DOWN",
                "has another certificate, and is not UP at every edge within "
                f"{UP_DEADLINE_S:g} s: {seen}",
                node.name,
                f"`permafrost doctor` looks at its clock; `journalctl -u haproxy` on {node.name} "
                "says more",
            )
        )
