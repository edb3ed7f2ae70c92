"""The knowledge tier as a person is shown it, and what keeps it from being ready. Pure.

Ready means that it answers right: quorums are whole, each coordinator is active somewhere, what is
to be loaded is, and every proxy gives the known answers. An open port says none of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from permafrost.facts import CanaryAnswers, MemberState
from permafrost.planning.knowledge import members, members_with, milvus_of, proxies
from permafrost.planning.query_leaders import is_unsettled, led_on_one_member
from permafrost.planning.query_replicas import (
    emptied_nodes,
    lacking_replicas,
    replicas_on_members,
)
from permafrost.site.model import Site
from permafrost.topology import service_address

_OF_2_3 = ("rootcoord", "datacoord", "querycoord")
COORDINATORS = {"2.3.4": _OF_2_3, "2.3.5": _OF_2_3, "2.6": ("mixcoord",)}


NOT_READY, COPYING = "KNOWLEDGE_NOT_READY", "KNOWLEDGE_COPYING"
UNSETTLED = "its proxy does not know the query nodes that lead, or not all of them are whole yet"
EMPTIED = "is emptied, or was and was never stopped: `permafrost converge {}` has it begin anew"
FULL_MIB, FULL_SHARE = 512, 0.02
"""Less is free on the disk of the data: stores are about to refuse what is written."""
CERTIFICATE_WORDS = ("certificate", "ssl", "handshake")


class Lack(NamedTuple):
    """What keeps the tier from being ready: of which member (or empty), and its stable code."""

    member: str
    message: str
    code: str = NOT_READY


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
    """The tier, and all that is not as it has to be."""

    version: str
    address: str
    members: tuple[dict[str, Any], ...]
    quorums: dict[str, Any]
    coordinators: tuple[dict[str, Any], ...]
    proxies: tuple[dict[str, Any], ...]
    collections: dict[str, int]
    problems: tuple[Lack, ...]
    owners: frozenset[str] = frozenset()
    """Which control planes its members say that it belongs to."""
    replicas: tuple[dict[str, Any], ...] = ()
    """As ``replicas_on_members`` has them."""
    led_on_one_member: tuple[dict[str, Any], ...] = ()
    """As ``query_leaders.led_on_one_member`` has them."""

    @property
    def is_ready(self) -> bool:
        """Whether it answers right, whole."""
        return not self.problems

    @property
    def on_one_member(self) -> tuple[dict[str, Any], ...]:
        """Replicas that lose every node with one member, although others have query nodes."""
        homes = {name for replica in self.replicas for name in replica["members"]}
        return tuple(r for r in self.replicas if len(r["members"]) == 1 and len(homes) > 1)

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
            "replicas": list(self.replicas),
            "led_on_one_member": list(self.led_on_one_member),
            "problems": [p._asdict() for p in self.problems],
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
        owners=frozenset(s.cluster_owner for s in seen.states.values() if s.cluster_owner),
        replicas=replicas_on_members(site, seen.states),
        led_on_one_member=led_on_one_member(site, seen.states),
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
            "place": store.place if (store := milvus_of(site).object_store) else None,
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
) -> Iterator[Lack]:
    excused = mending | away
    etcd, brokers = (
        sum(n.name not in excused for n in members_with(site, role)) for role in ("etcd", "queue")
    )
    for name, reason in sorted(seen.silent.items()):
        if name not in excused:
            yield Lack(name, reason)
    for name, state in sorted(seen.states.items()):
        if name in excused:
            continue
        yield from _of_member(state, etcd, brokers, lacks_a_broker=_lacks_a_broker(site, excused))
    for coordinator in active:
        if coordinator["active"] is None or coordinator["active"] in away:
            yield Lack("", f"no {coordinator['role']} is active")
    for node, _ in proxies(site):
        if node.name in excused:
            continue
        yield from _of_proxy(node.name, seen.canaries.get(node.name))
        if is_unsettled(seen.states, str(node.address)):
            yield Lack(node.name, UNSETTLED)
    for emptied in emptied_nodes(site, seen.states):
        if emptied.member not in excused:
            yield Lack(emptied.member, f"{emptied.unit} {EMPTIED.format(emptied.member)}")
    if seen.blind:
        yield Lack("", seen.blind)
    yield from _of_collections(site, seen)


def _of_collections(site: Site, seen: KnowledgeFacts) -> Iterator[Lack]:
    """What is not loaded, and which replicas can never be: Milvus gives them no node."""
    partly = {name: part for name, part in sorted(seen.collections.items()) if part < 100}
    for name, percent in partly.items():
        yield Lack("", f"collection {name} is loaded to {percent} %")
    if partly:
        for r in lacking_replicas(site, seen.states):
            yield Lack("", f"replica {r.replica} of collection {r.collection} has no query node")


def _of_member(
    state: MemberState, etcd: int, brokers: int, *, lacks_a_broker: bool
) -> Iterator[Lack]:
    name = state.member
    for unit, word in sorted(state.units.items()):
        if word != "active":
            yield Lack(name, f"{unit} is {word}")
    if state.etcd_answering < etcd:
        yield Lack(name, f"etcd: {state.etcd_answering} members answer it")
    if not state.store_is_writable:
        yield Lack(name, "the object store may not be written to", "KNOWLEDGE_STORE_DEAD")
    if state.healing:
        yield Lack(name, f"{state.healing} drives of its object store are being healed", COPYING)
    if state.brokers < brokers:
        yield Lack(name, f"queue: {state.brokers} brokers are in the cluster")
    if state.under_replicated and not lacks_a_broker:
        yield Lack(name, f"queue: {state.under_replicated} partitions lack a copy", COPYING)
    free, size = state.disk_free_mib, state.disk_mib
    if free is not None and size is not None and free < max(FULL_MIB, FULL_SHARE * size):
        text = f"its data disk is full: {free} of {size} MiB are free"
        yield Lack(name, text, "KNOWLEDGE_DISK_FULL")


def _of_proxy(name: str, answers: CanaryAnswers | None) -> Iterator[Lack]:
    if answers is None:
        yield Lack(name, "its proxy: not asked")
    elif not answers.is_right:
        is_tls = any(word in answers.error.lower() for word in CERTIFICATE_WORDS)
        wrong = f"{answers.wrong} of {answers.asked} known answers are wrong"
        code = "KNOWLEDGE_CERTIFICATE" if is_tls else NOT_READY
        yield Lack(name, f"its proxy: {answers.error or wrong}", code)


def _lacks_a_broker(site: Site, excused: frozenset[str]) -> bool:
    return any(n.name in excused for n in members_with(site, "queue"))
