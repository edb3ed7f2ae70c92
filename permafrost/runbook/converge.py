"""Configure one node, and see that it serves afterwards.

A replica in rotation is drained first: configuring may restart its server. Afterwards it comes
back through the gate. An edge forgets drains when it reloads, so they are set again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from permafrost.engine.state import Phase
from permafrost.errors import PermafrostError
from permafrost.planning.lookup import node_named
from permafrost.planning.member_drain import drained_members
from permafrost.runbook.admit import admit_replica
from permafrost.runbook.by_hand import ByHand, node_by_hand
from permafrost.runbook.certificates import write_alone
from permafrost.runbook.clients import tell_edges
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.founding import founded_as
from permafrost.runbook.knowledge import STEADY_S, await_ready
from permafrost.runbook.member_turn import TurnTaken, take_member_turn, unfinished_turn
from permafrost.runbook.operations import Journal, OpenOperation, operation
from permafrost.runbook.pins import require_signed
from permafrost.runbook.registry_contents import await_answer
from permafrost.runbook.slots import settle_record, tell_slots
from permafrost.runbook.turns import TURN_DEADLINE_S, await_turn
from permafrost.runbook.unfinished import renews_alone, require_node_undisturbed
from permafrost.topology import Node, Tier

COMMAND = "converge"


@dataclass(frozen=True, slots=True)
class ConvergeEvidence:
    """What configuring a node did."""

    node: str
    changed: int
    tasks: tuple[str, ...] = ()
    drained: bool = False
    checkpoint: str = ""
    notes: tuple[str, ...] = ()
    operation: str = ""
    """Of the person who asked for it; empty where it is a part of another one."""
    receipt: str = ""

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


@dataclass(frozen=True, slots=True)
class _Wanted:
    """As what a node is to be configured, and for whom."""

    owner: str
    vm: str
    fingerprint: str
    renew: bool
    by: ByHand | None

    @contextmanager
    def opened(self, ctx: Context, node: Node) -> Iterator[OpenOperation]:
        """Give the operation in whose journal it stands: the person's, or one of its own."""
        if self.by is not None:
            yield self.by.journal
            return
        with operation(ctx, f"{COMMAND} {node.name}", owner=self.owner) as journal:
            yield journal

    def ended(self, evidence: ConvergeEvidence) -> None:
        """Have the person's receipt written, where there is a person."""
        if self.by is not None:
            self.by.end(evidence.as_dict())


def converge_for(
    ctx: Context, node: Node | str, *, owner: str, renew_certificate: bool = False
) -> ConvergeEvidence:
    """Configure a node for a person, with a receipt; Refused at once where it cannot be now."""
    node = node if isinstance(node, Node) else node_named(ctx.site, node)
    ctx.guard()
    alone = require_allowed(ctx, node, renew_certificate=renew_certificate)
    with node_by_hand(ctx, COMMAND, node, owner=owner) as by:
        if alone:
            written = write_alone(ctx, node, by.journal)
            notes = ("its certificate alone: an operation is unfinished on it",)
            done = tuple(written.changes)
            evidence = ConvergeEvidence(node.name, written.changed, done, notes=notes)
            by.end(evidence.as_dict())
        else:
            evidence = converge_node(
                ctx,
                node,
                owner=COMMAND,
                turn_deadline_s=0,
                renew_certificate=renew_certificate,
                by=by,
            )
    return replace(evidence, operation=by.journal.id, receipt=by.receipt)


def require_allowed(ctx: Context, node: Node, *, renew_certificate: bool) -> bool:
    """Return whether only its certificate is renewed; Refused where a person may not even that."""
    if renew_certificate:
        return renews_alone(ctx, COMMAND, node)
    require_node_undisturbed(ctx, COMMAND, node)
    return False


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
    by: ByHand | None = None,
) -> ConvergeEvidence:
    """Configure a node and admit it. ``vm`` and ``fingerprint`` say what it is configured as.

    When the same VM was last configured with the same fingerprint, its disk already says so:
    then it is only admitted. ``renew_certificate``: with another key and certificate. ``anew``:
    also where it was configured so: its disk does not say so any more. ``by``: the operation of
    the person who asked, which stands in place of its own and gets the receipt.
    """
    node = node if isinstance(node, Node) else node_named(ctx.site, node)
    ctx.guard()
    is_settled = (
        not anew
        and bool(vm and fingerprint)
        and ctx.store.converged(node.name) == (vm, fingerprint)
    )
    wanted = _Wanted(owner, vm, fingerprint, renew_certificate, by)
    if node.tier is Tier.KNOWLEDGE:
        return _converge_member(ctx, node, wanted, is_settled=is_settled)
    if node.tier is Tier.EDGE:
        evidence = _converge_edge(ctx, node, wanted)
    elif node.tier is Tier.REGISTRY:
        evidence = _converge_registry(ctx, node, wanted)
    else:
        evidence = _converge_replica(ctx, node, wanted, turn_deadline_s, is_settled=is_settled)
    wanted.ended(evidence)
    return evidence


def check_node(ctx: Context, node: Node | str) -> ConvergeEvidence:
    """Return what configuring a node would change; nothing is touched."""
    node = node if isinstance(node, Node) else node_named(ctx.site, node)
    result = ctx.converger.converge(node, check=True)
    return ConvergeEvidence(node.name, result.changed, tuple(result.changes))


def _converge_replica(
    ctx: Context, node: Node, wanted: _Wanted, turn_deadline_s: float, *, is_settled: bool
) -> ConvergeEvidence:
    drained = False
    if not is_settled:
        reason = "it is configured anew"
        require_signed(ctx, node.endpoint)
        await_turn(ctx, node, wanted.owner, reason=reason, deadline_s=turn_deadline_s)
        drained = drain_replica(ctx, node, owner=wanted.owner, reason=reason).changed
        evidence = _configure(ctx, node, wanted)
    else:
        evidence = ConvergeEvidence(node.name, 0, notes=("configured already",))
    admitted = admit_replica(ctx, node, owner=wanted.owner)
    notes = (*evidence.notes, *([admitted.note] if admitted.note else []))
    return replace(evidence, drained=drained, checkpoint=admitted.checkpoint, notes=notes)


def _converge_edge(ctx: Context, node: Node, wanted: _Wanted) -> ConvergeEvidence:
    evidence = _configure(ctx, node, wanted)
    again = reassert_drains(ctx, node.name)
    tell_edges(ctx, node.name)
    tell_slots(ctx, node.name)
    return replace(evidence, notes=tuple(f"set to drain again: {name}" for name in again))


def _converge_registry(ctx: Context, node: Node, wanted: _Wanted) -> ConvergeEvidence:
    """Configure it while it serves: nodes need it to load, not to answer; a pull is resumed."""
    evidence = _configure(ctx, node, wanted)
    await_answer(ctx)
    return evidence


def _converge_member(
    ctx: Context, node: Node, wanted: _Wanted, *, is_settled: bool
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
        found[:] = [_configured(ctx, node, journal, wanted, joins=joins)]

    def ended(taken: TurnTaken) -> None:
        found[:] = [replace(found[0], drained=taken.gave_away, notes=tuple(taken.notes))]
        wanted.ended(found[0])

    take_member_turn(ctx, node, configure, opened=wanted.opened(ctx, node), ended=ended)
    return found[0]


def _configure(ctx: Context, node: Node, wanted: _Wanted) -> ConvergeEvidence:
    with wanted.opened(ctx, node) as journal:
        return _configured(ctx, node, journal, wanted)


def _configured(
    ctx: Context, node: Node, journal: Journal, wanted: _Wanted, *, joins: bool = False
) -> ConvergeEvidence:
    vm, fingerprint = wanted.vm, wanted.fingerprint
    journal("converge", node.name, Phase.INTENT, {"fingerprint": fingerprint})
    ctx.guard()
    if wanted.renew:
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
