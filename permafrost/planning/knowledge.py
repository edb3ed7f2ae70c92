"""Which roles of the Milvus cluster each knowledge member has, and as which processes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from permafrost.planning.milvus_versions import (
    METRICS_PORT,
    PLAIN_ETCD,
    PLAIN_OBJECT_STORE,
    PLAIN_QUEUE,
    STEP,
    STORES,
    VERSIONS,
    MilvusVersion,
    Process,
)
from permafrost.site.derived import once_a_site
from permafrost.site.knowledge import Milvus
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, nodes

QUERY_HOMES = 2
"""Members that query nodes need at least: one of them may be lost."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One process on one member. ``ports`` is setting -> port; ``public_port`` 0: none."""

    name: str
    role: str
    arguments: tuple[str, ...]
    ports: Mapping[str, int]
    metrics_port: int
    public_port: int
    environment: Mapping[str, str]
    stop_s: int
    is_spare: bool = False
    """Whether it stands still until it is told to start: no member starts it by itself."""


@once_a_site
def members(site: Site) -> tuple[Node, ...]:
    """Return the knowledge members, in node order."""
    return tuple(n for n in nodes(site) if n.tier is Tier.KNOWLEDGE)


def milvus_of(site: Site) -> Milvus:
    """Return the cluster that the site file describes; the site must have one."""
    if site.knowledge is None:
        raise ValueError("the site has no knowledge tier")
    return site.knowledge.milvus


def version_of(site: Site) -> MilvusVersion:
    """Return the layout of the site's version of Milvus."""
    return VERSIONS[milvus_of(site).version]


def etcd_scheme(site: Site) -> str:
    """Return how etcd is spoken to, by clients and between its members."""
    return "https" if milvus_of(site).etcd_tls else "http"


def object_store_scheme(site: Site) -> str:
    """Return how the bundled object store is spoken to, by clients and between its nodes."""
    return "https" if milvus_of(site).object_store_tls else "http"


def plain_connections(site: Site) -> tuple[str, ...]:
    """Return what passes between members neither encrypted nor authenticated by a password."""
    encrypted = encrypted_connections(site)
    return tuple(what for what in version_of(site).plain if what not in encrypted)


def encrypted_connections(site: Site) -> tuple[str, ...]:
    """Return what passes to stores by TLS alone, in the words of what would be plain text."""
    milvus = milvus_of(site)
    return (
        *([PLAIN_ETCD] if milvus.etcd_tls else []),
        *([PLAIN_QUEUE] if milvus.queue_tls else []),
        *([PLAIN_OBJECT_STORE] if milvus.object_store or milvus.object_store_tls else []),
    )


@once_a_site
def milvus_roles(site: Site) -> Mapping[str, Mapping[str, int]]:
    """Return member -> role -> how many of it; empty without a knowledge tier.

    Each role is spread evenly, over members with the fewest processes. Where the coordinators
    begin active no query node is, if three members or more allow it: a coordinator of queries that
    takes over answers nobody before each replica is whole again, so that both lost at once would
    cost the time of loading instead of a few seconds.
    """
    if site.knowledge is None:
        return MappingProxyType({})
    names = [n.name for n in members(site)]
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    for role, count in site.knowledge.milvus.roles.model_dump().items():
        places = names
        if role == "query" and len(names) > QUERY_HOMES:
            first = next(n for n in names if found[n].get("coordinators"))
            places = [n for n in names if n != first]
        for _ in range(count):
            name = min(places, key=lambda n: (found[n].get(role, 0), sum(found[n].values())))
            found[name][role] = found[name].get(role, 0) + 1
    return MappingProxyType({name: MappingProxyType(has) for name, has in found.items()})


def first_coordinators(site: Site) -> Node:
    """Return the member whose coordinators are to be the active ones."""
    return members_with(site, "coordinators")[0]


def rolling_order(site: Site) -> tuple[Node, ...]:
    """Return the members in the order in which a change goes through them, one at a time.

    Standby coordinators first, then the active ones, which then have changed ones to hand over to,
    then everybody else: what commands is never older than what it commands.
    """
    first = first_coordinators(site).name
    coordinators = [n.name for n in members_with(site, "coordinators")]

    def turn(node: Node) -> int:
        if node.name not in coordinators:
            return 2
        return 1 if node.name == first else 0

    return tuple(sorted(members(site), key=lambda n: (turn(n), n.name)))


def members_with(site: Site, role: str) -> tuple[Node, ...]:
    """Return the members that have a role, in node order."""
    roles = milvus_roles(site)
    return tuple(n for n in members(site) if roles[n.name].get(role))


def units_of(site: Site, member: str) -> tuple[Unit, ...]:
    """Return the processes of Milvus on a member; ports that would meet are moved apart.

    Its spare query node, where there is one, is the last. No port depends on how many others are
    there: the edges ask a proxy at its metrics port, and would lose it, with all that is on its
    way, when query nodes are added beside it.
    """
    return _units(site)[member]


@once_a_site
def _units(site: Site) -> Mapping[str, tuple[Unit, ...]]:
    """Return member -> its processes."""
    version = version_of(site)
    return MappingProxyType(
        {name: tuple(_of_roles(version, roles)) for name, roles in milvus_roles(site).items()}
    )


def _of_roles(version: MilvusVersion, roles: Mapping[str, int]) -> Iterator[Unit]:
    for kind, process in enumerate(version.processes):
        count = roles.get(process.role, 0)
        for i in range(count):
            name = f"milvus-{process.role}" + (f"-{i + 1}" if count > 1 else "")
            yield _unit(process, name, kind, i)
    if version.spare is not None and roles.get(version.spare.role):
        name = f"milvus-{version.spare.role}-spare"
        spare = _unit(version.spare, name, len(version.processes), 0)
        yield replace(spare, is_spare=True)


def query_port(site: Site, unit: str) -> int | None:
    """Return where a query node answers other roles, by its unit's name; None for other units.

    Also of one that the site file has no more, or not yet: it may run.
    """
    named = re.fullmatch(r"milvus-query(?:-(spare|\d+))?", unit)
    if named is None:
        return None
    version, which = version_of(site), named[1] or "1"
    kinds = (p for p in version.processes if p.role == "query")
    process = version.spare if which == "spare" else next(kinds)
    if process is None:
        return None
    (port,) = _ports(process, int(which) - 1 if which.isdigit() else 0).values()
    return port


@once_a_site
def spares(site: Site) -> Mapping[str, str]:
    """Return member -> its spare query node; without those that have none."""
    found = {
        node.name: unit.name
        for node in members(site)
        for unit in units_of(site, node.name)
        if unit.is_spare
    }
    return MappingProxyType(found)


def _ports(process: Process, nth: int) -> Mapping[str, int]:
    """Return the ports of the process of a kind that has so many of it before it on its member."""
    return MappingProxyType({s: port + STEP * nth for s, port in process.ports.items()})


def _unit(process: Process, name: str, kind: int, nth: int) -> Unit:
    ports = _ports(process, nth)
    return Unit(
        name,
        process.role,
        process.arguments,
        ports,
        METRICS_PORT + kind + STEP * nth,
        ports.get(process.public, 0),
        process.environment,
        process.stop_s,
    )


@once_a_site
def proxies(site: Site) -> tuple[tuple[Node, Unit], ...]:
    """Return every proxy with its member, in node order."""
    return tuple(
        (node, unit)
        for node in members(site)
        for unit in units_of(site, node.name)
        if unit.public_port
    )


def stores_on(site: Site, member: str) -> tuple[str, ...]:
    """Return which of the stores a member carries."""
    return tuple(role for role in STORES if milvus_roles(site)[member].get(role))
