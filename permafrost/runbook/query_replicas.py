"""Give replicas whose query nodes have all gone a spare one, or one of those that stay.

Milvus 2.3 assigns a query node when it comes up and moves none afterwards
(``planning.query_replicas``). So a spare is started that stands still on a member that stays;
where there is none, one that stays is restarted, one at a time. That one hands over first, as when
it is stopped, but whoever leads instead of it reads nothing whole before the replica without a
node has one again. What is decided is decided by what is seen, so that a process that is killed
anywhere here is followed by one that does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from permafrost.engine.waiting import wait_until
from permafrost.facts import QueryReplica
from permafrost.planning.knowledge import milvus_of, version_of
from permafrost.planning.query_replicas import (
    QueryNode,
    by_collection,
    coming_nodes,
    emptied_nodes,
    is_settled,
    lacking,
    node_to_restart,
    noted_replicas,
    running_nodes,
)
from permafrost.planning.query_spares import to_call
from permafrost.runbook.context import Context
from permafrost.runbook.knowledge import (
    EVERY_S,
    answering,
    read_knowledge,
    take_up_member,
    vector_store,
)

RESTART_S = 290.0
"""Others take over what a query node has for up to 180 s; to stop by itself it has 70 s more."""
SETTLED_S = 120.0
"""Until a node that was started has its place: it registers in seconds, or on a busy machine."""
ANSWERS_S = 120.0


@dataclass(frozen=True, slots=True)
class QueryTier:
    """Query nodes and replicas at one moment."""

    nodes: dict[int, QueryNode]
    noted: tuple[QueryReplica, ...]
    spares: frozenset[QueryNode] = frozenset()
    """Spares that stand still, of members that answer."""
    coming: frozenset[QueryNode] = frozenset()
    """Those that run and have not registered yet."""

    def free_of(self, leaving: str) -> list[QueryNode]:
        """Return the spares that stand still on members that stay."""
        return [spare for spare in self.spares if spare.member != leaving]

    @property
    def lacking(self) -> tuple[QueryReplica, ...]:
        """Replicas without a node that runs."""
        return lacking(self.noted, self.nodes)

    @property
    def is_settled(self) -> bool:
        """Whether every node that runs has registered, and has its place."""
        return not self.coming and is_settled(by_collection(self.noted), self.nodes)


def fill_replicas(ctx: Context, *, leaving: str) -> tuple[str, ...]:
    """Start or restart query nodes of staying members until no replica lacks one.

    Returns what was started, and why. What cannot be helped is left to be waited for by whoever
    wants the tier whole. Raises Failed (KNOWLEDGE_NOT_MOVED) where a node is not restarted.
    """
    if version_of(ctx.site).fills_replicas:
        return ()
    begin_emptied_anew(ctx, but=leaving)
    done: list[str] = []
    for _ in range(milvus_of(ctx.site).roles.query):
        seen = _settled(ctx)
        if seen is None:
            break
        said = _give_a_node(ctx, seen, leaving)
        if not said:
            break
        why = ", ".join(f"{r.replica} of collection {r.collection}" for r in seen.lacking)
        done.append(f"{said}, no query node had replica {why}")
        if not _answer(ctx, leaving):
            break
    return tuple(done)


def begin_emptied_anew(ctx: Context, *, but: str = "") -> None:
    """Have query nodes whose emptying was cut off begin anew, of all members but one.

    A process that was killed between the mark and the stop has left them so.
    """
    states = answering(ctx)
    for member in sorted({node.member for node in emptied_nodes(ctx.site, states)} - {but}):
        take_up_member(ctx, member)


def _give_a_node(ctx: Context, seen: QueryTier, leaving: str) -> str:
    """Start a spare, else restart a node; return what was done, nothing where nothing helps."""
    spare = to_call(seen.nodes, seen.free_of(leaving))
    if spare is not None:
        ctx.guard()
        vector_store(ctx).start(spare.member, spare.unit)
        return f"{spare.member}: {spare.unit} started"
    chosen = node_to_restart(by_collection(seen.noted), seen.nodes, {leaving})
    if chosen is None:
        return ""
    node = seen.nodes[chosen]
    ctx.guard()
    vector_store(ctx).restart(node.member, node.unit, deadline_s=RESTART_S)
    return f"{node.member}: {node.unit} restarted"


def _settled(ctx: Context) -> QueryTier | None:
    """Return what is seen once all that runs has its place; None where no replica lacks a node.

    None, too, where that does not come to be: then nothing is known that a restart would mend.
    """
    seen = see_settled(ctx, lambda tier: not tier.lacking or tier.is_settled)
    return seen if seen is not None and seen.lacking else None


def see_settled(
    ctx: Context, may_be_judged: Callable[[QueryTier], bool] = lambda tier: tier.is_settled
) -> QueryTier | None:
    """Return what is seen once it may be judged; None where that does not come to be."""
    seen: list[QueryTier] = []

    def is_seen() -> bool:
        ctx.guard()
        seen[:] = [_look(ctx)]
        return may_be_judged(seen[0])

    is_judged = wait_until(is_seen, clock=ctx.clock, deadline_s=SETTLED_S, every_s=EVERY_S)
    return seen[0] if is_judged else None


def _answer(ctx: Context, leaving: str) -> bool:
    """Wait until every proxy that stays gives the known answers: the next one may go then."""

    def do_answer() -> bool:
        ctx.guard()
        doors = read_knowledge(ctx, away=(leaving,)).proxies
        return all(door["ready"] for door in doors if door["member"] != leaving)

    return wait_until(do_answer, clock=ctx.clock, deadline_s=ANSWERS_S, every_s=EVERY_S)


def _look(ctx: Context) -> QueryTier:
    states = answering(ctx)
    still = (
        QueryNode(member, unit)
        for member, state in states.items()
        for unit in state.spares
        if unit not in state.units
    )
    return QueryTier(
        running_nodes(ctx.site, states),
        noted_replicas(states),
        frozenset(still),
        coming_nodes(ctx.site, states),
    )
