"""Is a command by hand what mends a node, as that is now?

An unfinished operation waits for `resume` or `abort`. Neither gets past an edge, a replica or a
registry that does not answer, nor past a member of the knowledge tier that lacks what only its own
turn gives it: there the command comes first, as our messages say.
"""

from __future__ import annotations

from permafrost.engine.observe import observe_machines
from permafrost.errors import PermafrostError
from permafrost.planning.undisturbed import is_told_for
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import as_problem, read_knowledge
from permafrost.runbook.member_turn import rebuild_of, unfinished_turn
from permafrost.runbook.registry_contents import unanswered
from permafrost.topology import Node, Tier

REBUILD = "rebuild"


def is_mended_by(ctx: Context, command: str, node: Node) -> bool:
    """Whether a node is in a state that `permafrost COMMAND NODE` is the way out of.

    A machine that is off, or not there, is not: nothing is configured on it.
    """
    if observe_machines(ctx.hypervisor).is_gone(node.name):
        return False
    if node.tier is Tier.EDGE:
        return node.name not in ctx.traffic.observe().edges()
    if node.tier is Tier.REGISTRY:
        return unanswered(ctx) is not None
    if node.tier is Tier.INFERENCE:
        return _is_silent(ctx, node)
    # A turn that was cut off leaves it half configured, or half filled: the same command ends it.
    if unfinished_turn(ctx) == node.name:
        return True
    return bool(rebuild_of(ctx, node.name)) if command == REBUILD else _is_told(ctx, command, node)


def is_shut_out(ctx: Context, node: Node) -> bool:
    """Whether a replica says that a slot is proven, and an edge sees that slot down.

    What lies between them is TLS: its certificate has run out, say. No step of an operation gets
    past that, and another certificate changes nothing that one relies on.
    """
    if node.tier is not Tier.INFERENCE or observe_machines(ctx.hypervisor).is_gone(node.name):
        return False
    try:
        slots = ctx.models.state(node.name).slots
    except PermafrostError:
        return False
    proven = {name for name, slot in slots.items() if slot.state == "ADMITTED"}
    return any(s.slot in proven and not s.is_up for s in ctx.traffic.observe().of(node.name))


def _is_silent(ctx: Context, node: Node) -> bool:
    try:
        ctx.models.state(node.name)
    except PermafrostError:
        return True
    return False


def _is_told(ctx: Context, command: str, node: Node) -> bool:
    """Whether it does not answer, or what the status says of it names the command."""
    seen = read_knowledge(ctx)
    if any(m["reason"] for m in seen.members if m["name"] == node.name):
        return True
    told = [as_problem(*lack).as_dict() for lack in seen.problems]
    said = f"`permafrost {command} {node.name}`"
    return any(said in t["message"] or is_told_for(t, command, node.name) for t in told)
