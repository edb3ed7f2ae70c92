"""Bring one replica into rotation, through the gate and no other way.

Order: the node answers, its bytes and behaviour pass the quiet probe, the edges are set to
ready, every edge sees it UP, and only then it is declared ADMITTED. While it is drained it has
no other traffic, so the probe is quiet.
"""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.engine.state import DeclaredState, Phase
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, Held, PermafrostError, Problem
from permafrost.planning.lifecycle import Declared, is_automatic
from permafrost.ports import ServerState
from permafrost.runbook.context import Context
from permafrost.runbook.edges import edges_that_are_off, set_on_edges
from permafrost.runbook.looking import as_replica, look_around
from permafrost.runbook.operations import operation
from permafrost.site.pins import digest_of
from permafrost.topology import Node, endpoint_of

UP_DEADLINE_S = 60.0
ASK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class AdmitEvidence:
    """What was seen when a replica came back."""

    replica: str
    state: str
    checkpoint: str
    waited_s: float
    changed: bool
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "schema": 1,
            "replica": self.replica,
            "state": self.state,
            "checkpoint": self.checkpoint,
            "waited_s": round(self.waited_s, 3),
            "changed": self.changed,
            "note": self.note,
        }


def admit_replica(ctx: Context, replica: Node | str, *, owner: str) -> AdmitEvidence:
    """Bring a replica into rotation; nothing happens when it serves already."""
    node = as_replica(ctx, replica)
    pinned = digest_of(endpoint_of(ctx.site, node).model)
    ctx.guard()
    live = look_around(ctx, node)
    declared = live.declared.get(node.name)
    if declared is not None and declared.state is DeclaredState.ADMITTED:
        facts = live.nodes.get(node.name)
        if facts is not None and facts.state == "ADMITTED" and live.serves(node.name):
            return AdmitEvidence(
                node.name, "ADMITTED", facts.checkpoint, 0.0, False, "it serves already"
            )
    if declared is not None and declared.is_away and not may_bring_back(ctx, declared, owner):
        note = f"left as it was: {declared}"
        return AdmitEvidence(node.name, declared.state.value, "", 0.0, False, note)
    with operation(ctx, f"admit {node.name}", owner=owner) as journal:
        journal("admit", node.name, Phase.INTENT, {"checkpoint": pinned})
        began = ctx.clock.monotonic()
        try:
            _await_answer(ctx, node)
            _probe(ctx, node, pinned)
            ctx.guard()
            set_on_edges(ctx, node.name, ServerState.READY)
            _await_up(ctx, node)
        except PermafrostError as error:
            journal("admit", node.name, Phase.FAILED, {"error": error.code})
            raise
        ctx.store.declare(node.name, DeclaredState.ADMITTED, owner=owner)
        evidence = AdmitEvidence(
            node.name, "ADMITTED", pinned, ctx.clock.monotonic() - began, True
        )
        journal("admit", node.name, Phase.DONE, evidence.as_dict())
    return evidence


def may_bring_back(ctx: Context, declared: Declared, owner: str) -> bool:
    """Whether ``owner`` may end what was declared.

    What a person took away, no program brings back. What a living program took away, a person
    does not: it is at work on it. Raises Held then.
    """
    if is_automatic(owner):
        return declared.is_automatic
    holder = ctx.store.at_work_on(declared.node)
    if holder is not None:
        raise Held(
            Problem(
                "REPLICA_HELD",
                f"{declared}; {holder} is at work on it",
                declared.node,
                "it brings the replica back itself; `permafrost status` shows when",
            )
        )
    return True


def _await_answer(ctx: Context, node: Node) -> None:
    """Wait until the node has started: after a boot it verifies its bytes by itself."""
    last = ""
    deadline_s = endpoint_of(ctx.site, node).start_deadline_s

    def has_started() -> bool:
        nonlocal last
        try:
            facts = ctx.models.state(node.name)
        except PermafrostError as error:
            last = error.problems[0].message
            return False
        last = facts.reason or facts.state
        return facts.state != "STARTING"

    if not wait_until(has_started, clock=ctx.clock, deadline_s=deadline_s, every_s=ASK_AGAIN_S):
        raise Failed(
            Problem(
                "NODE_NOT_READY",
                f"has not started within {deadline_s} s: {last}",
                node.name,
                "`permafrost status` shows its VM; a large model needs a larger start_deadline_s",
            )
        )


def _probe(ctx: Context, node: Node, pinned: str) -> None:
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


def _await_up(ctx: Context, node: Node) -> None:
    seen = ""

    def is_up() -> bool:
        nonlocal seen
        traffic = ctx.traffic.observe()
        seen = "; ".join(f"{s.edge}: {s.check}" for s in traffic.of(node.name)) or "no edge"
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
                "the edge checks it over TLS at port 8443; is the node's HAProxy running?",
            )
        )
