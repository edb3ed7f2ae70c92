"""What speaks against a deployment that touches a knowledge tier, asked before anything is.

What is asked of the tier is asked once it has answered right: a new one has nothing to say yet.
"""

from __future__ import annotations

from permafrost.errors import Problem, Refused
from permafrost.facts import MemberDisk
from permafrost.planning.deploy import Plan
from permafrost.planning.knowledge import members
from permafrost.planning.knowledge_lacks import Lack
from permafrost.planning.knowledge_rebuild import plan_rebuild
from permafrost.planning.live import LiveState
from permafrost.runbook.context import Context
from permafrost.runbook.founding import (
    founded_as,
    require_ours,
    require_place,
    require_same_tls,
    require_version,
)
from permafrost.runbook.knowledge import as_problem, read_knowledge

FATAL = ("KNOWLEDGE_DISK_FULL", "KNOWLEDGE_STORE_DEAD")
"""Lacks with which no member is taken away: the others could not take what it has."""


def admit_members(ctx: Context, plan: Plan, live: LiveState) -> tuple[str, ...]:
    """Return what the plan means for the members beside its steps, as notes.

    Raises Refused with everything that speaks against it: a cluster of somebody else, a version
    before this one, another object store, a full disk, a dead object store, a lost member that
    nobody can give back.
    """
    if ctx.site.knowledge is None:
        return ()
    require_version(ctx)
    require_place(ctx)
    require_same_tls(ctx)
    if founded_as(ctx) is None:
        return ()
    names = [n.name for n in members(ctx.site)]
    lost = [n for n in names if live.inventory.vm(n) is None]
    touched = {s.target for s in plan.steps if s.target in names}
    status = read_knowledge(ctx, mending=lost)
    require_ours(ctx, status)
    enlarged = {s.target for s in plan.of_kind("update-vm")}
    if fatal := [p for p in status.problems if _is_fatal(p, touched, enlarged)]:
        raise Refused(*(as_problem(*p) for p in fatal))
    notes: list[str] = []
    problems: list[Problem] = []
    for name in lost:
        try:
            rebuilt = plan_rebuild(ctx.site, MemberDisk(name, frozenset()), status)
        except Refused as refused:
            problems += refused.problems
        else:
            notes += [f"{name} comes back empty, and gets {store}" for store in rebuilt]
    if problems:
        raise Refused(*problems)
    return tuple(notes)


def _is_fatal(lack: Lack, touched: set[str], enlarged: set[str]) -> bool:
    """What the same plan mends (a disk that it makes larger) does not stop it."""
    if lack.code not in FATAL or not touched:
        return False
    return not (lack.code == "KNOWLEDGE_DISK_FULL" and lack.member in enlarged)
