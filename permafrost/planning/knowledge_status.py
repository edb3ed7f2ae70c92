"""The knowledge tier as a person is shown it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from permafrost.facts import CanaryAnswers
from permafrost.planning.knowledge import members, members_with, milvus_of, proxies
from permafrost.planning.knowledge_lacks import KnowledgeFacts, Lack, lacks
from permafrost.planning.query_leaders import exposed_by_a_loss, led_on_one_member
from permafrost.planning.query_replicas import replicas_on_members
from permafrost.site.model import Site
from permafrost.topology import service_address

_OF_2_3 = ("rootcoord", "datacoord", "querycoord")
COORDINATORS = {"2.3.4": _OF_2_3, "2.3.5": _OF_2_3, "2.6": ("mixcoord",)}


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
    exposed: tuple[dict[str, Any], ...] = ()
    """As ``query_leaders.exposed_by_a_loss`` has them."""

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
            "exposed": list(self.exposed),
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
        problems=tuple(lacks(site, seen, active, frozenset(mending), frozenset(away))),
        owners=frozenset(s.cluster_owner for s in seen.states.values() if s.cluster_owner),
        replicas=replicas_on_members(site, seen.states),
        led_on_one_member=led_on_one_member(site, seen.states),
        exposed=exposed_by_a_loss(site, seen.states),
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
