"""The knowledge tier as a person is shown it, and what keeps it from being ready. Pure.

Ready means that it answers right: quorums are whole, each coordinator is active somewhere, what is
to be loaded is, and every proxy gives the known answers. An open port says none of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from permafrost.facts import CanaryAnswers, MemberState
from permafrost.planning.knowledge import members, members_with, milvus_of, proxies
from permafrost.site.model import Site
from permafrost.topology import service_address

COORDINATORS = {"2.3.5": ("rootcoord", "datacoord", "querycoord"), "2.6": ("mixcoord",)}


@dataclass(frozen=True, slots=True)
class KnowledgeFacts:
    """What was seen of the tier. ``silent``: member -> why it did not answer."""

    states: Mapping[str, MemberState] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    canaries: Mapping[str, CanaryAnswers] = field(default_factory=dict)
    collections: Mapping[str, int] = field(default_factory=dict)
    blind: str = ""
    hosts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnowledgeStatus:
    """The tier. ``problems`` are (member or empty, what is not as it has to be)."""

    version: str
    address: str
    members: tuple[dict[str, Any], ...]
    quorums: dict[str, Any]
    coordinators: tuple[dict[str, Any], ...]
    proxies: tuple[dict[str, Any], ...]
    collections: dict[str, int]
    problems: tuple[tuple[str, str], ...]

    @property
    def is_ready(self) -> bool:
        """Whether it answers right, whole."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "version": self.version,
            "address": self.address,
            "ready": self.is_ready,
            "members": list(self.members),
            "quorums": self.quorums,
            "coordinators": list(self.coordinators),
            "proxies": list(self.proxies),
            "collections": [{"name": n, "loaded": p} for n, p in self.collections.items()],
            "problems": [{"member": m, "message": text} for m, text in self.problems],
        }


def knowledge_status(
    site: Site,
    seen: KnowledgeFacts,
    *,
    mending: Collection[str] = (),
    away: Collection[str] = (),
) -> KnowledgeStatus:
    """Return what was seen as a status.

    ``mending``: members that are to be touched, broken or not. Nothing is said of them, and the
    others are whole without them: a broker and a member of etcd less, copies on two brokers.
    ``away``: such that are being taken away by our own doing: no coordinator is active there.
    """
    milvus = milvus_of(site)
    active = _coordinators(site, seen)
    return KnowledgeStatus(
        version=milvus.version,
        address=f"{service_address(site)}:{milvus.port}",
        members=tuple(
            {
                "name": n.name,
                "host": seen.hosts.get(n.name),
                "units": dict(seen.states[n.name].units) if n.name in seen.states else {},
                "reason": seen.silent.get(n.name, ""),
            }
            for n in members(site)
        ),
        quorums=_quorums(site, seen),
        coordinators=active,
        proxies=tuple(_proxy(seen, node.name) for node, _ in proxies(site)),
        collections=dict(sorted(seen.collections.items())),
        problems=tuple(_problems(site, seen, active, frozenset(mending), frozenset(away))),
    )


def _quorums(site: Site, seen: KnowledgeFacts) -> dict[str, Any]:
    states = seen.states.values()
    return {
        "etcd": {
            "members": len(members_with(site, "etcd")),
            "answering": max((s.etcd_answering for s in states), default=0),
            "leader": next((s.etcd_leader for s in states if s.etcd_leader), None),
        },
        "queue": {
            "members": len(members_with(site, "queue")),
            "answering": max((s.brokers for s in states), default=0),
            "under_replicated": max((s.under_replicated for s in states), default=0),
        },
        "object_store": {
            "members": len(members_with(site, "object_store")),
            "writable": any(s.store_is_writable for s in states),
        },
    }


def _coordinators(site: Site, seen: KnowledgeFacts) -> tuple[dict[str, Any], ...]:
    """Return each coordinator with the member that has it active: its session has a plain name."""
    by_address = {str(n.address): n.name for n in members(site)}
    sessions = {key: where for s in seen.states.values() for key, where in s.sessions}
    found = []
    for role in COORDINATORS[milvus_of(site).version]:
        address = sessions.get(role, "").rpartition(":")[0]
        standby = sorted(
            by_address.get(where.rpartition(":")[0], where)
            for key, where in sessions.items()
            if key.startswith(f"{role}-") and where.rpartition(":")[0] != address
        )
        found.append({"role": role, "active": by_address.get(address), "standby": standby})
    return tuple(found)


def _proxy(seen: KnowledgeFacts, member: str) -> dict[str, Any]:
    answers = seen.canaries.get(member, CanaryAnswers(member, error="not asked"))
    return {
        "member": member,
        "ready": answers.is_right,
        "canaries": {"asked": answers.asked, "right": answers.right, "wrong": answers.wrong},
        "error": answers.error,
    }


def _problems(
    site: Site,
    seen: KnowledgeFacts,
    active: tuple[dict[str, Any], ...],
    mending: frozenset[str],
    away: frozenset[str],
) -> Iterator[tuple[str, str]]:
    excused = mending | away
    etcd, brokers = (
        sum(n.name not in excused for n in members_with(site, role)) for role in ("etcd", "queue")
    )
    for name, reason in sorted(seen.silent.items()):
        if name not in excused:
            yield name, reason
    for name, state in sorted(seen.states.items()):
        if name in excused:
            continue
        for unit, word in sorted(state.units.items()):
            if word != "active":
                yield name, f"{unit} is {word}"
        if state.etcd_answering < etcd:
            yield name, f"etcd: {state.etcd_answering} members answer it"
        if not state.store_is_writable:
            yield name, "the object store may not be written to"
        if state.brokers < brokers:
            yield name, f"queue: {state.brokers} brokers are in the cluster"
        if state.under_replicated and not _lacks_a_broker(site, excused):
            yield name, f"queue: {state.under_replicated} partitions lack a copy"
    for coordinator in active:
        if coordinator["active"] is None or coordinator["active"] in away:
            yield "", f"no {coordinator['role']} is active"
    for node, _ in proxies(site):
        if node.name in excused:
            continue
        answers = seen.canaries.get(node.name)
        if answers is None or not answers.is_right:
            text = (answers.error if answers else "") or (
                f"{answers.wrong} of {answers.asked} known answers are wrong"
                if answers
                else "not asked"
            )
            yield node.name, f"its proxy: {text}"
    if seen.blind:
        yield "", seen.blind
    for name, percent in sorted(seen.collections.items()):
        if percent < 100:
            yield "", f"collection {name} is loaded to {percent} %"


def _lacks_a_broker(site: Site, excused: frozenset[str]) -> bool:
    return any(n.name in excused for n in members_with(site, "queue"))
