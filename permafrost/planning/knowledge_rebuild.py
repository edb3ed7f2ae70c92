"""What a knowledge member whose disk is empty gets back, and from whom. Pure.

Invariant: a member comes back empty only where the others still have everything: a majority of
etcd, a majority of the brokers, and all nodes of the object store but this one. Otherwise the one
copy might be made anew over what could still be saved, and it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.errors import Problem, Refused
from permafrost.facts import MemberDisk
from permafrost.planning.knowledge import members_with, stores_on
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.planning.milvus_versions import STORE_UNITS
from permafrost.site.model import Site

HOW = {
    "etcd": "leaves the cluster and joins it as a new member",
    "queue": "its broker copies every partition anew",
    "object_store": "its drives are healed from the other nodes'",
}


@dataclass(frozen=True, slots=True)
class StoreRebuilt:
    """One store that a member lost: what brings it back, and who has it."""

    store: str
    sources: tuple[str, ...]
    how: str

    def __str__(self) -> str:
        return f"{self.store} from {', '.join(self.sources)} ({self.how})"


def lost_stores(site: Site, disk: MemberDisk) -> tuple[str, ...]:
    """Return the stores that a member is to carry and whose data its disk does not have."""
    return tuple(s for s in stores_on(site, disk.member) if s not in disk.holds)


def plan_rebuild(
    site: Site, disk: MemberDisk, status: KnowledgeStatus
) -> tuple[StoreRebuilt, ...]:
    """Return what is rebuilt from whom; () where nothing is lost.

    Raises Refused (KNOWLEDGE_REBUILD_NO_QUORUM) with every store that the others do not have.
    """
    running = {m["name"]: m["units"] for m in status.members if not m["reason"]}
    found: list[StoreRebuilt] = []
    problems: list[Problem] = []
    for store in lost_stores(site, disk):
        having = [n.name for n in members_with(site, store)]
        sources = tuple(
            name
            for name in having
            if name != disk.member and running.get(name, {}).get(STORE_UNITS[store]) == "active"
        )
        needed = _needed(store, len(having))
        if len(sources) < needed or not _is_whole(store, status, needed):
            problems.append(_refusal(store, disk.member, sources, len(having), needed))
        found.append(StoreRebuilt(store, sources, HOW[store]))
    if problems:
        raise Refused(*problems)
    return tuple(found)


def _needed(store: str, members: int) -> int:
    """Return how many others must have a store: a majority of all; of drives every other node."""
    return max(1, members - 1) if store == "object_store" else members // 2 + 1


def _is_whole(store: str, status: KnowledgeStatus, needed: int) -> bool:
    if store == "object_store":
        return bool(status.quorums[store]["writable"])
    return int(status.quorums[store]["answering"]) >= needed


def _refusal(
    store: str, member: str, sources: tuple[str, ...], members: int, needed: int
) -> Problem:
    return Problem(
        "KNOWLEDGE_REBUILD_NO_QUORUM",
        f"{store}: of {members} members {', '.join(sources) or 'none'} has it and answers; "
        f"{needed} others are needed to give it back",
        member,
        "bring those back first, with their disks; where these are lost too, the tier is to be "
        "made anew (`permafrost destroy`, `permafrost deploy`) and filled from a backup",
    )
