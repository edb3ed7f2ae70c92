"""Tell the knowledge tier its users and canaries, look at it, and wait until it answers right.

What is said of the tier is always said of all of it: every member and every proxy is asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from permafrost.engine.secrets import own_secret
from permafrost.engine.state import Phase
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.facts import CanaryAnswers, MemberState
from permafrost.planning.canaries import COLLECTION, DIMENSION, ROWS
from permafrost.planning.knowledge import first_coordinators, members, milvus_of, proxies, units_of
from permafrost.planning.knowledge_lacks import NOT_READY, KnowledgeFacts, Lack
from permafrost.planning.knowledge_status import KnowledgeStatus, knowledge_status
from permafrost.ports import VectorStore
from permafrost.runbook.context import Context
from permafrost.runbook.founding import claim_cluster, record_founded
from permafrost.runbook.operations import operation
from permafrost.site.load import LoadedSite

READY_S = 300.0
TAKE_UP_S = 120.0
"""How long a machine that was powered on may take until it answers."""
EVERY_S = 2.0
HOME_S = 120.0
"""Until coordinators have given way to the first ones: they wait a minute, then change places."""
STEADY_S = 6.0
"""Longer than Milvus was seen to miss rows, without an error, after a query node had come back."""
HINTS = {
    "KNOWLEDGE_STORE_DEAD": "bring the object store back: of a bundled one's nodes "
    "all but one must run",
    "KNOWLEDGE_DISK_FULL": "raise knowledge.milvus.data_disk_gib, or drop what is not needed",
    "KNOWLEDGE_CERTIFICATE": "`permafrost converge MEMBER --renew-certificate` gives it one of "
    "the site's own authority",
}
"""What to do about a lack, where more is known than that."""


def cluster_fingerprint(loaded: LoadedSite) -> str:
    """Return a digest of what the cluster is told as a whole; passwords take part by hash."""
    milvus = milvus_of(loaded.site)
    passwords = {
        name: hashlib.sha256(loaded.resolve(user.password_file).read_bytes()).hexdigest()
        for name, user in sorted(milvus.access.users.items())
    }
    root = hashlib.sha256(own_secret(loaded.state_dir, "milvus-root").encode()).hexdigest()
    basis = [
        milvus.access.model_dump(mode="json"),
        passwords,
        root,
        [COLLECTION, DIMENSION, ROWS],
        milvus.version,
    ]
    text = json.dumps(basis, sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def vector_store(ctx: Context) -> VectorStore:
    """Return the tier; raise Failed (KNOWLEDGE_ABSENT) for a site without one."""
    if ctx.knowledge is None:
        hint = "give the site file `knowledge`, or name what the site has: `permafrost status`"
        raise Failed(Problem("KNOWLEDGE_ABSENT", "the site has no knowledge tier", hint=hint))
    return ctx.knowledge


def settle_cluster(ctx: Context, *, owner: str) -> tuple[str, ...]:
    """Make users, roles, grants and canaries so, and wait until every proxy answers right."""
    store = vector_store(ctx)
    name = f"{ctx.site.site}-knowledge"
    with operation(ctx, f"settle {name}", owner=owner) as journal:
        journal("settle", name, Phase.INTENT, {})
        ctx.guard()
        changed: list[str] = []
        refusals: list[PermafrostError] = []

        def is_settled() -> bool:
            refusals.clear()
            try:
                claim_cluster(ctx, proxies(ctx.site)[0][0].name)
                changed.extend(store.settle(proxies(ctx.site)[0][0].name))
            except Failed as error:
                refusals.append(error)
            return not refusals

        if not wait_until(is_settled, clock=ctx.clock, deadline_s=READY_S, every_s=EVERY_S):
            journal("settle", name, Phase.FAILED, {"error": refusals[0].code})
            raise refusals[0]
        await_ready(ctx)
        record_founded(ctx)
        journal("settle", name, Phase.DONE, {"changed": changed})
    return tuple(changed)


def await_ready(
    ctx: Context,
    *,
    mending: Collection[str] = (),
    away: Collection[str] = (),
    deadline_s: float = READY_S,
    steady_s: float = 0.0,
    but: Collection[str] = (),
) -> None:
    """Wait until the tier is ready; raise Failed (KNOWLEDGE_NOT_READY) with all that is not.

    ``mending``, ``away``: as ``knowledge_status`` has them. ``steady_s``: it is to be ready for so
    long without a break, as after a change. ``but``: codes of what is not waited for.
    """
    seen: list[Lack] = []
    since: list[float] = []

    def is_ready() -> bool:
        ctx.guard()
        problems = read_knowledge(ctx, mending=mending, away=away).problems
        seen[:] = [p for p in problems if p.code not in but]
        now = ctx.clock.monotonic()
        since[:] = [] if seen else since or [now]
        return bool(since) and now - since[0] >= steady_s

    if not wait_until(is_ready, clock=ctx.clock, deadline_s=deadline_s, every_s=EVERY_S):
        raise Failed(
            *(as_problem(*p) for p in seen or [Lack("", "it is not right for long enough")])
        )


def await_coordinators_home(ctx: Context, member: str) -> None:
    """Wait until coordinators that are about to give way have done so, before a member gives away.

    They move the segments that it hands over, and would change places meanwhile. Where they do not
    go (the first ones are not back, or on that member) nothing is waited for, nor is it an error.
    """
    first = first_coordinators(ctx.site).name
    processes = [u.name for u in units_of(ctx.site, first) if u.role == "coordinators"]

    def are_settled() -> bool:
        ctx.guard()
        seen = read_knowledge(ctx, mending=(member,))
        units = next(m["units"] for m in seen.members if m["name"] == first)
        is_back = all(units.get(name) == "active" for name in processes)
        return not is_back or all(c["active"] == first for c in seen.coordinators)

    if member != first:
        wait_until(are_settled, clock=ctx.clock, deadline_s=HOME_S, every_s=EVERY_S)


def take_up_member(ctx: Context, member: str) -> None:
    """Have everything on a member started, once its machine, which may be booting, answers."""
    refusals: list[PermafrostError] = []

    def is_told() -> bool:
        refusals.clear()
        ctx.guard()
        try:
            vector_store(ctx).take_up(member)
        except Failed as error:
            refusals.append(error)
        return not refusals

    if not wait_until(is_told, clock=ctx.clock, deadline_s=TAKE_UP_S, every_s=EVERY_S):
        raise refusals[0]


def as_problem(member: str, message: str, code: str = NOT_READY) -> Problem:
    """Return what keeps the tier from being ready, as an error."""
    hint = HINTS.get(code, "`permafrost status` shows it")
    return Problem(code, message, member or "knowledge", hint)


def read_knowledge(
    ctx: Context, *, mending: Collection[str] = (), away: Collection[str] = ()
) -> KnowledgeStatus:
    """Ask every member and proxy; ``mending``, ``away``: as ``knowledge_status`` has them."""
    store = vector_store(ctx)
    doors = [n.name for n, _ in proxies(ctx.site)]
    with ThreadPoolExecutor(max_workers=16) as pool:
        hosts = pool.submit(_hosts, ctx)
        loaded = pool.submit(_collections, store, doors)
        answers = {door: pool.submit(store.canaries, door) for door in doors}
        found = ask_members(ctx, pool)
        collections, blind = loaded.result()
        seen = KnowledgeFacts(
            states={n: s for n, s in found.items() if isinstance(s, MemberState)},
            silent={n: s for n, s in found.items() if isinstance(s, str)},
            canaries={door: _answers(door, a.result()) for door, a in answers.items()},
            collections=collections,
            blind=blind,
            hosts=hosts.result(),
        )
    return knowledge_status(ctx.site, seen, mending=mending, away=away)


def ask_members(ctx: Context, pool: ThreadPoolExecutor) -> dict[str, MemberState | str]:
    """Return what each member says of itself and the tier, or why it does not answer."""
    store, names = vector_store(ctx), [n.name for n in members(ctx.site)]
    return dict(zip(names, pool.map(lambda n: _state(store, n), names), strict=True))


def answering(ctx: Context) -> dict[str, MemberState]:
    """Return what each member says that answers; all are asked at once."""
    with ThreadPoolExecutor(max_workers=len(members(ctx.site))) as pool:
        found = ask_members(ctx, pool)
    return {name: state for name, state in found.items() if isinstance(state, MemberState)}


def _answers(door: str, found: CanaryAnswers) -> CanaryAnswers:
    return found if found.member == door else CanaryAnswers(door, error="another one answered")


def _state(store: VectorStore, member: str) -> MemberState | str:
    try:
        return store.state(member)
    except PermafrostError as error:
        return error.problems[0].message


def _collections(store: VectorStore, doors: list[str]) -> tuple[dict[str, int], str]:
    """Return what is loaded, from the first proxy that says it; else why nobody does."""
    said = "no proxy says what is loaded"
    for door in doors:
        try:
            return dict(store.collections(door)), ""
        except PermafrostError as error:
            said = error.problems[0].message
    return {}, said


def _hosts(ctx: Context) -> dict[str, str]:
    try:
        return {vm.name: vm.host for vm in ctx.hypervisor.observe().vms}
    except PermafrostError:
        return {}
