"""What speaks against stopping members of the knowledge tier. Pure.

A member may stop while everything else is whole and answers right, and while those that are left
keep a majority of etcd, two brokers (what is acknowledged is on two), all but one node of the
object store, a query node, and a proxy that answers right.
"""

from __future__ import annotations

from collections.abc import Iterable

from permafrost.errors import Problem
from permafrost.planning.knowledge import members_with, milvus_roles
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.site.model import Site
from permafrost.topology import Node, Tier

NEEDED_ROLES = ("coordinators", "query", "data", "proxies")
"""Roles of Milvus that somebody must go on having; new indexes may wait."""


def knowledge_stop_problems(
    site: Site, stopping: Iterable[Node], status: KnowledgeStatus | None
) -> tuple[Problem, ...]:
    """Return what speaks against stopping these nodes; nothing where none is of the tier."""
    stopping = tuple(stopping)
    going = {n.name for n in stopping if n.tier is Tier.KNOWLEDGE}
    if not going:
        return ()
    names = ", ".join(sorted(going))
    found = list(structure_problems(site, stopping))
    if status is None:
        found.append(
            Problem(
                "KNOWLEDGE_UNKNOWN",
                "nobody says whether the others answer right",
                names,
                "`permafrost status` says why",
            )
        )
        return tuple(found)
    found += [
        Problem("KNOWLEDGE_NOT_WHOLE", text, member or "knowledge", "mend that first")
        for member, text, _ in status.problems
        if member not in going
    ]
    return tuple(found)


def structure_problems(site: Site, stopping: Iterable[Node]) -> tuple[Problem, ...]:
    """Return what the others could never take over from these, however whole they are."""
    going = {n.name for n in stopping if n.tier is Tier.KNOWLEDGE}
    names = ", ".join(sorted(going))
    return (*_quorums(site, going, names), *_roles(site, going, names)) if going else ()


def _quorums(site: Site, going: set[str], names: str) -> list[Problem]:
    found = []
    for role, may_go in (("etcd", None), ("queue", 1), ("object_store", 1)):
        having = {n.name for n in members_with(site, role)}
        lost = len(having & going)
        most = (len(having) - 1) // 2 if may_go is None else may_go
        if lost > most:
            found.append(
                Problem(
                    "KNOWLEDGE_BELOW_QUORUM",
                    f"{role}: {lost} of {len(having)} would stop, {most} may",
                    names,
                    "stop one member at a time, and have three of each",
                )
            )
    return found


def _roles(site: Site, going: set[str], names: str) -> list[Problem]:
    roles = milvus_roles(site)
    return [
        Problem(
            "KNOWLEDGE_LAST_OF_ROLE",
            f"nobody else is left with the role {role}",
            names,
            f"raise knowledge.milvus.roles.{role}, or the number of members",
        )
        for role in NEEDED_ROLES
        if any(has.get(role) for has in roles.values())
        and not any(has.get(role) for name, has in roles.items() if name not in going)
    ]
