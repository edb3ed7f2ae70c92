"""Configure one node, and see that it serves afterwards.

A replica in rotation is drained first: configuring may restart its server. Afterwards it comes
back through the gate. An edge forgets drains when it reloads, so they are set again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from permafrost.engine.state import Phase
from permafrost.errors import PermafrostError
from permafrost.planning.lookup import node_named
from permafrost.planning.member_drain import drained_members
from permafrost.runbook.admit import admit_replica
from permafrost.runbook.clients import tell_edges
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.founding import founded_as
from permafrost.runbook.knowledge import STEADY_S, await_ready
from permafrost.runbook.member_turn import take_member_turn, unfinished_turn
from permafrost.runbook.operations import Journal, operation
from permafrost.runbook.pins import require_signed
from permafrost.runbook.registry_contents import await_answer
from permafrost.runbook.slots import settle_record, tell_slots
from permafrost.runbook.turns import TURN_DEADLINE_S, await_turn
from permafrost.topology import Node, Tier


@dataclass(frozen=True, slots=True)
class ConvergeEvidence:
    """What configuring a node did."""

    node: str
    changed: int
    tasks: tuple[str, ...] = ()
    drained: bool = False
    checkpoint: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "schema": 1,
            "node": self.node,
            "changed": self.changed,
            "tasks": list(self.tasks),
            "drained": self.drained,
            "checkpoint": self.checkpoint,
            "notes": list(self.notes),
        }


def converge_node(
    ctx: Context,
    node: Node | str,
    *,
    owner: str = "pulumi",
    vm: str = "",
    fingerprint: str = "",
    turn_deadline_s: float = TURN_DEADLINE_S,
    renew_certificate: bool = False,
    anew: bool = False,
) -> ConvergeEvidence:
    """Configure a node and admit it. ``vm`` and ``fingerprint`` say what it is configured as.

    When the same VM was last configured with the same fingerprint, its disk already says so:
    then it is only admitted. ``renew_certificate``: with another key and certificate. ``anew``:
    also where it was configured so: its disk does not say so any more.
    """
    node = node if isinstance(node, Node) else node_named(ctx.site, node)
    ctx.guard()
    is_settled = (
        not anew
        and bool(vm and fingerprint)
        and ctx.store.converged(node.name) == (vm, fingerprint)
    )
    if node.tier is Tier.EDGE:
        return _converge_edge(ctx, node, owner, vm, fingerprint, renew=renew_certificate)
    if node.tier is Tier.REGISTRY:
        return _converge_registry(ctx, node, owner, vm, fingerprint, renew=renew_certificate)
    if node.tier is Tier.KNOWLEDGE:
        return _converge_member(
            ctx, node, owner, vm, fingerprint, is_settled=is_settled, renew=renew_certificate
        )
    drained = False
    if not is_settled:
        reason = "it is configured anew"
        require_signed(ctx, node.endpoint)
        await_turn(ctx, node, owner, reason=reason, deadline_s=turn_deadline_s)
        drained = drain_replica(ctx, node, owner=owner, reason=reason).changed
        evidence = _configure(ctx, node, owner, vm, fingerprint, renew=renew_certificate)
    else:
        evidence = ConvergeEvidence(node.name, 0, notes=("configured already",))
    admitted = admit_replica(ctx, node, owner=owner)
    notes = (*evidence.notes, *([admitted.note] if admitted.note else []))
    return ConvergeEvidence(
        node.name, evidence.changed, evidence.tasks, drained, admitted.checkpoint, notes
    )


def check_node(ctx: Context, node: Node | str) -> ConvergeEvidence:
    """Return what configuring a node would change; nothing is touched."""
    node = node if isinstance(node, Node) else node_named(ctx.site, node)
    result = ctx.converger.converge(node, check=True)
    return ConvergeEvidence(node.name, result.changed, tuple(result.changes))


def _converge_edge(
    ctx: Context, node: Node, owner: str, vm: str, fingerprint: str, *, renew: bool
) -> ConvergeEvidence:
    evidence = _configure(ctx, node, owner, vm, fingerprint, renew=renew)
    again = reassert_drains(ctx, node.name)
    tell_edges(ctx, node.name)
    tell_slots(ctx, node.name)
    notes = tuple(f"set to drain again: {name}" for name in again)
    return ConvergeEvidence(node.name, evidence.changed, evidence.tasks, notes=notes)


def _converge_registry(
    ctx: Context, node: Node, owner: str, vm: str, fingerprint: str, *, renew: bool
) -> ConvergeEvidence:
    """Configure it while it serves: nodes need it to load, not to answer; a pull is resumed."""
    evidence = _configure(ctx, node, owner, vm, fingerprint, renew=renew)
    await_answer(ctx)
    return evidence


def _converge_member(
    ctx: Context,
    node: Node,
    owner: str,
    vm: str,
    fingerprint: str,
    *,
    is_settled: bool,
    renew: bool,
) -> ConvergeEvidence:
    unfinished = unfinished_turn(ctx)
    if is_settled and unfinished != node.name:
        # Its VM has changed, or an earlier run ended here: the next one waits for it all the same,
        # unless what is not whole is another one, whose own turn is to be ended next.
        if founded_as(ctx) is not None and not unfinished:
            away = drained_members(ctx.site, ctx.store.declared())
            await_ready(ctx, away=away, steady_s=STEADY_S)
        return ConvergeEvidence(node.name, 0, notes=("configured already",))
    found: list[ConvergeEvidence] = []

    def configure(journal: Journal, joins: bool) -> None:
        found.append(_configured(ctx, node, journal, vm, fingerprint, renew=renew, joins=joins))

    command = f"converge {node.name}"
    taken = take_member_turn(ctx, node, configure, owner=owner, command=command)
    return replace(found[0], drained=taken.gave_away, notes=tuple(taken.notes))


def _configure(
    ctx: Context, node: Node, owner: str, vm: str, fingerprint: str, *, renew: bool
) -> ConvergeEvidence:
    with operation(ctx, f"converge {node.name}", owner=owner) as journal:
        return _configured(ctx, node, journal, vm, fingerprint, renew=renew)


def _configured(
    ctx: Context,
    node: Node,
    journal: Journal,
    vm: str,
    fingerprint: str,
    *,
    renew: bool,
    joins: bool = False,
) -> ConvergeEvidence:
    journal("converge", node.name, Phase.INTENT, {"fingerprint": fingerprint})
    ctx.guard()
    if renew:
        ctx.converger.renew_certificate(node)
    try:
        result = ctx.converger.converge(node, joins=joins)
    except PermafrostError as error:
        journal("converge", node.name, Phase.FAILED, {"error": error.code})
        raise
    if node.endpoint:
        settle_record(ctx, node.endpoint)
    if not (vm and fingerprint):
        vm, fingerprint = _known_as(ctx, node)
    if vm and fingerprint:
        ctx.store.record_converged(node.name, vm, fingerprint)
    evidence = ConvergeEvidence(node.name, result.changed, tuple(result.changes))
    journal("converge", node.name, Phase.DONE, evidence.as_dict())
    return evidence


def _known_as(ctx: Context, node: Node) -> tuple[str, str]:
    """Return as what a node was configured that was named by hand; empty where it never was.

    Another certificate changes its fingerprint: the next deployment would configure it once more.
    """
    known = ctx.store.converged(node.name)
    return ("", "") if known is None else (known[0], ctx.converger.fingerprint(node))
