"""What keeps the knowledge tier from being ready. Pure.

Ready means that it answers right: quorums are whole, each coordinator is active somewhere, what is
to be loaded is, and every proxy gives the known answers. An open port says none of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from permafrost.facts import CanaryAnswers, MemberState
from permafrost.planning.knowledge import members_with, proxies
from permafrost.planning.query_leaders import is_unsettled
from permafrost.planning.query_replicas import emptied_nodes, lacking_replicas
from permafrost.site.model import Site

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


def lacks(
    site: Site,
    seen: KnowledgeFacts,
    active: tuple[dict[str, Any], ...],
    mending: frozenset[str],
    away: frozenset[str],
) -> Iterator[Lack]:
    """Yield each; ``active`` are the coordinators as the status has them.

    ``mending``, ``away``: as ``knowledge_status`` has them.
    """
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
