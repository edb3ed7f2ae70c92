"""Give a knowledge member back what its empty disk has lost: shown first, then in its turn.

A member whose VM is gone comes back by `deploy`, which says the same. What is done is the member's
turn: a process that is killed is gone on with by the same command.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from permafrost.errors import Problem, Refused
from permafrost.planning.knowledge_rebuild import StoreRebuilt
from permafrost.planning.lookup import node_named
from permafrost.runbook.by_hand import node_by_hand
from permafrost.runbook.context import Context
from permafrost.runbook.converge import ConvergeEvidence, converge_node
from permafrost.runbook.founding import founded_as, require_ours
from permafrost.runbook.knowledge import read_knowledge
from permafrost.runbook.member_turn import rebuild_of, unfinished_turn
from permafrost.runbook.unfinished import require_node_undisturbed
from permafrost.topology import Node, Tier

COMMAND = "rebuild"


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What a member gets back, and from whom; nothing where it only has to go on."""

    member: str
    stores: tuple[StoreRebuilt, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        stores = [{"store": s.store, "from": list(s.sources), "how": s.how} for s in self.stores]
        return {"schema": 1, "command": COMMAND, "member": self.member, "stores": stores}


def preview_rebuild(ctx: Context, name: str) -> RebuildPlan:
    """Return what would be rebuilt; raises Refused where nothing is lost, or too much is."""
    node = _member(ctx, name)
    require_node_undisturbed(ctx, COMMAND, node)
    if founded_as(ctx) is None:
        raise Refused(
            Problem(
                "KNOWLEDGE_NOT_FOUNDED",
                "the tier has never answered right: nobody has anything to give back",
                name,
                "`permafrost deploy` makes it",
            )
        )
    require_ours(ctx, read_knowledge(ctx, mending=(node.name,)))
    stores = rebuild_of(ctx, node.name)
    if not stores and unfinished_turn(ctx) != node.name:
        raise Refused(
            Problem(
                "KNOWLEDGE_NOTHING_LOST",
                "its disk has the data of each store that it carries",
                name,
                f"`permafrost converge {name}` configures it again",
            )
        )
    return RebuildPlan(node.name, stores)


def rebuild(ctx: Context, name: str, *, owner: str) -> ConvergeEvidence:
    """Rebuild it, wait until the tier is whole and its drives are healed, write the receipt."""
    node = _member(ctx, name)
    vm, fingerprint = ctx.store.converged(node.name) or ("", "")
    ctx.guard()
    require_node_undisturbed(ctx, COMMAND, node)
    with node_by_hand(ctx, COMMAND, node, owner=owner) as by:
        evidence = converge_node(
            ctx, node, owner=COMMAND, vm=vm, fingerprint=fingerprint, anew=True, by=by
        )
    return replace(evidence, operation=by.journal.id, receipt=by.receipt)


def _member(ctx: Context, name: str) -> Node:
    node = node_named(ctx.site, name)
    if node.tier is not Tier.KNOWLEDGE:
        raise Refused(
            Problem(
                "NOT_A_MEMBER",
                f"it is of the tier {node.tier.value}: its VM is made anew by `deploy`",
                name,
                "name a member of the knowledge tier",
            )
        )
    return node
