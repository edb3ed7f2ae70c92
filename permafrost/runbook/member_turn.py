"""The turn of a member of the knowledge tier that is configured anew.

Invariant: by a turn at most one member is away, and while it is the others give the known
answers. It gives away first (what serves there stops, another leads etcd), is configured, and the
turn ends when the tier is whole again through every proxy, for longer than Milvus misses rows. A
turn stands in durable state from before its first effect: a process that is killed leaves it, and
who comes next, whichever member it is for, has that one started again before it begins its own.

A member whose disk is empty is made a new member of etcd first, where the others have everything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from permafrost.engine.state import Phase
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.facts import MemberDisk
from permafrost.pki.files import locked
from permafrost.planning.knowledge import members, milvus_roles
from permafrost.planning.knowledge_lacks import COPYING
from permafrost.planning.knowledge_rebuild import StoreRebuilt, lost_stores, plan_rebuild
from permafrost.planning.knowledge_stop import structure_problems
from permafrost.planning.maintenance_steps import HAND_OVER_S
from permafrost.planning.member_drain import drained_members, drained_problem
from permafrost.runbook.context import Context
from permafrost.runbook.founding import is_founded, require_ours
from permafrost.runbook.knowledge import (
    EVERY_S,
    STEADY_S,
    TAKE_UP_S,
    await_coordinators_home,
    await_ready,
    read_knowledge,
    take_up_member,
    vector_store,
)
from permafrost.runbook.operations import Journal, operation
from permafrost.runbook.query_replicas import fill_replicas
from permafrost.runbook.query_spares import bring_home, call_spares
from permafrost.runbook.query_versions import hold_balance, release_balance
from permafrost.topology import Node

TURN_FOLDER = "knowledge"
TURN = "knowledge-turn"
HEAL_S = 6 * 3600.0
"""How long a member that came back empty may take until everything is on it again."""
Configure = Callable[[Journal, bool], None]
"""Configures the member, in the turn's journal; told whether it joins with an empty disk."""


@dataclass(slots=True)
class TurnTaken:
    """How a turn went."""

    gave_away: bool = False
    rebuilt: tuple[StoreRebuilt, ...] = ()
    notes: list[str] = field(default_factory=list)


def take_member_turn(
    ctx: Context,
    node: Node,
    configure: Configure,
    *,
    opened: AbstractContextManager[Journal],
    ended: Callable[[TurnTaken], None],
) -> None:
    """Configure a member while the others answer right; wait until it does again.

    ``opened`` gives the operation in whose journal it stands. ``ended`` is told how it went while
    the turn stands yet: killed in that, the turn is taken anew, and it is told again.

    A cluster that never answered right has no turns: its members wait for each other's stores.
    """
    _require_none_drained(ctx, node)
    if not is_founded(ctx, lambda: read_knowledge(ctx).is_ready):
        with opened as journal:
            configure(journal, False)
            ended(TurnTaken(notes=["a member of a new cluster"]))
        return
    with locked(ctx.loaded.state_dir / TURN_FOLDER), opened as journal:
        require_no_maintenance(ctx, node)
        _end_unfinished(ctx, node, journal)
        require_ours(ctx, read_knowledge(ctx, mending=(node.name,)))
        heals = _was_rebuilt(ctx, node)
        taken = _begin(ctx, node, journal, heals=heals)
        try:
            configure(journal, bool(taken.rebuilt))
        except PermafrostError:
            _restore(ctx, node)
            raise
        journal("await-tier", node.name, Phase.INTENT, {})
        if taken.rebuilt or heals:
            # It serves in minutes; to be filled may take hours, and what fails is told before.
            await_ready(ctx, steady_s=STEADY_S, but=(COPYING,))
            await_ready(ctx, deadline_s=HEAL_S)
        await_ready(ctx, steady_s=STEADY_S)
        taken.notes += bring_home(ctx)
        release_balance(ctx)
        journal("await-tier", node.name, Phase.DONE, {})
        ended(taken)
        ctx.store.remember(TURN, {})


def give_way(ctx: Context, node: Node, *, owner: str) -> bool:
    """Begin a member's turn before its VM is touched; its convergence ends it. Return whether.

    Nothing is given away where nothing serves: in a new cluster, or where it does not answer.
    """
    _require_none_drained(ctx, node)
    if not is_founded(ctx, lambda: read_knowledge(ctx).is_ready):
        return False
    try:
        vector_store(ctx).state(node.name)
    except PermafrostError:
        return False
    with (
        locked(ctx.loaded.state_dir / TURN_FOLDER),
        operation(ctx, f"give way {node.name}", owner=owner) as journal,
    ):
        require_no_maintenance(ctx, node)
        _end_unfinished(ctx, node, journal)
        require_ours(ctx, read_knowledge(ctx, mending=(node.name,)))
        return _begin(ctx, node, journal, heals=_was_rebuilt(ctx, node)).gave_away


def unfinished_turn(ctx: Context) -> str:
    """Return the member whose turn was begun and has not ended; empty where there is none."""
    name = str((ctx.store.recall(TURN) or {}).get("member", ""))
    return name if name in {n.name for n in members(ctx.site)} else ""


def _was_rebuilt(ctx: Context, node: Node) -> bool:
    """Whether its own turn was cut off after it had been found empty: it may still be filled."""
    record = ctx.store.recall(TURN) or {}
    return record.get("member") == node.name and bool(record.get("rebuilt"))


def rebuild_of(ctx: Context, member: str) -> tuple[StoreRebuilt, ...]:
    """Return what a member has to be given back; Refused where the others do not have it.

    Its machine may be booting: it is asked until it answers.
    """
    disks: list[MemberDisk] = []
    refusals: list[PermafrostError] = []

    def is_told() -> bool:
        refusals.clear()
        ctx.guard()
        try:
            disks.append(vector_store(ctx).disk(member))
        except Failed as error:
            refusals.append(error)
        return bool(disks)

    if not wait_until(is_told, clock=ctx.clock, deadline_s=TAKE_UP_S, every_s=EVERY_S):
        raise refusals[0]
    if not lost_stores(ctx.site, disks[0]):
        return ()
    return plan_rebuild(ctx.site, disks[0], read_knowledge(ctx, mending=(member,)))


def readmit(ctx: Context, member: str, rebuilt: tuple[StoreRebuilt, ...]) -> str:
    """Have the others' etcd expect the member as a new one; return who said it, or nobody."""
    sources = next((r.sources for r in rebuilt if r.store == "etcd"), ())
    refusals: list[PermafrostError] = []
    for source in sources:
        ctx.guard()
        try:
            vector_store(ctx).readmit(member, by=source)
        except Failed as error:
            refusals.append(error)
        else:
            return source
    if refusals:
        raise refusals[0]
    return ""


def _begin(ctx: Context, node: Node, journal: Journal, *, heals: bool) -> TurnTaken:
    """Wait until the others are whole without it, and have it give away what it has."""
    await_coordinators_home(ctx, node.name)
    # It may be lost, or have given away in a turn that was cut off: replicas lack its nodes.
    notes = list(fill_replicas(ctx, leaving=node.name))
    await_ready(ctx, mending=(node.name,))
    taken = TurnTaken(rebuilt=rebuild_of(ctx, node.name), notes=notes)
    heals = heals or bool(taken.rebuilt)
    ctx.store.remember(TURN, {"member": node.name, "rebuilt": heals})
    if taken.rebuilt:
        text = [str(r) for r in taken.rebuilt]
        journal("readmit", node.name, Phase.INTENT, {"rebuilt": text})
        by = readmit(ctx, node.name, taken.rebuilt)
        journal("readmit", node.name, Phase.DONE, {"by": by})
        taken.notes += [f"rebuilt: {line}" for line in text]
    why = _why_not_given(ctx, node)
    if why:
        taken.notes.append(why)
        return taken
    journal("hand-over", node.name, Phase.INTENT, {})
    ctx.guard()
    try:
        hold_balance(ctx)
        taken.notes += call_spares(ctx, leaving=node.name)
        ctx.guard()
        taken.notes += _handed_over(ctx, node)
        taken.notes += fill_replicas(ctx, leaving=node.name)
        await_ready(ctx, away=(node.name,), steady_s=STEADY_S)
    except PermafrostError as error:
        journal("hand-over", node.name, Phase.FAILED, {"error": error.code})
        _restore(ctx, node)
        raise
    journal("hand-over", node.name, Phase.DONE, {"notes": taken.notes} if taken.notes else {})
    taken.gave_away = True
    return taken


def _handed_over(ctx: Context, node: Node) -> list[str]:
    """Tell it to give away; one that is broken may fail in it, and the others decide."""
    try:
        vector_store(ctx).hand_over(node.name, deadline_s=HAND_OVER_S)
    except Failed as error:
        if error.code != "KNOWLEDGE_NOT_MOVED":
            raise
        return [f"did not give everything away: {error.problems[0].message}"]
    return []


def _why_not_given(ctx: Context, node: Node) -> str:
    """Return why nothing is handed over; empty where it is."""
    if problems := structure_problems(ctx.site, (node,)):
        return f"handed nothing over: {problems[0].message}; that is away meanwhile"
    try:
        state = vector_store(ctx).state(node.name)
    except PermafrostError:
        return "handed nothing over: nothing serves there"
    return "" if any(w == "active" for w in state.units.values()) else "nothing runs there"


def _end_unfinished(ctx: Context, node: Node, journal: Journal) -> None:
    """Have a member whose turn was cut off started again; its own turn does all of it anew."""
    name = unfinished_turn(ctx)
    if not name or name == node.name:
        return
    journal("take-up", name, Phase.INTENT, {"why": "its turn was cut off"})
    take_up_member(ctx, name)
    journal("take-up", name, Phase.DONE, {})


def _restore(ctx: Context, node: Node) -> None:
    """A change that failed leaves the member serving as far as it can."""
    try:
        vector_store(ctx).take_up(node.name)
    except PermafrostError:
        # What made the change fail is what is told; `status` says that this did not run either.
        return


def _require_none_drained(ctx: Context, node: Node) -> None:
    """While a member is drained none is configured, itself neither."""
    declared = ctx.store.declared()
    if away := drained_members(ctx.site, declared):
        raise Refused(*(drained_problem(declared[name], node.name) for name in away))


def require_no_maintenance(ctx: Context, node: Node) -> None:
    """While a member is in maintenance no other is touched, nor is what is off."""
    roles = milvus_roles(ctx.site)
    away = [r for r in ctx.store.maintenance.all() if any(n in roles for n in r.powered)]
    if away:
        raise Refused(
            *(
                Problem(
                    "MAINTENANCE_IN_PROGRESS",
                    f"{r.host} is in maintenance ({r.state.value}, {r.owner}, since {r.at}) with "
                    f"{', '.join(n for n in r.powered if n in roles)}; {node.name} is not touched",
                    node.name,
                    f"`permafrost maintenance exit {r.name}` first, then run it again",
                )
                for r in away
            )
        )
