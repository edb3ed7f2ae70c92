"""Does what the site file expects of collections fit into the memory of the query nodes?

Milvus searches in memory: each replica holds every vector with its index. What must fit is the
worst case, in which the member with the most query nodes is lost and the others hold it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from permafrost.errors import Problem
from permafrost.planning.knowledge import members, milvus_of, milvus_roles, stores_on
from permafrost.planning.preflight_report import PreflightCheck, PreflightLevel, check
from permafrost.site.knowledge import Collection, VectorIndex
from permafrost.site.model import Site
from permafrost.site.object_store import HERE

MIB = 1024 * 1024
FLOAT_BYTES, KEY_BYTES, LINK_BYTES = 4, 8, 4
REPLICAS = 2
SYSTEM_MIB = 1024
"""Of each member: the system, the walls, the balancer, container processes."""
STORE_MIB = {"etcd": 512, "object_store": 1024, "queue": 1024}
"""Of each store beside the query nodes, page cache that it needs included."""
PROCESS_MIB = 512
"""Of each process of Milvus, before it holds any data."""
USABLE = 0.9
"""Milvus loads nothing more above this share (queryCoord.overloadedMemoryThresholdPercentage)."""


def bytes_per_vector(collection: Collection) -> int:
    """Return bytes in memory of one row: its vector, index and key.

    HNSW keeps vectors and, at its lowest level, 2 x M links each of 4 bytes (hnswlib); IVF_SQ8
    keeps one byte a dimension; FLAT and IVF_FLAT keep vectors as they are.
    """
    dimension = collection.dimension
    match collection.index:
        case VectorIndex.IVF_SQ8:
            return dimension + KEY_BYTES
        case VectorIndex.HNSW:
            return dimension * FLOAT_BYTES + 2 * collection.m * LINK_BYTES + KEY_BYTES
        case VectorIndex.FLAT | VectorIndex.IVF_FLAT:
            return dimension * FLOAT_BYTES + KEY_BYTES


def needed_mib(site: Site) -> int:
    """Return MiB that all replicas of all expected collections take together."""
    return sum(
        -(-c.vectors * bytes_per_vector(c) * _replicas(site) // MIB)
        for c in milvus_of(site).collections.values()
    )


def room_mib(site: Site) -> dict[str, int]:
    """Return MiB for data of each member that has query nodes."""
    roles = milvus_roles(site)
    memory = milvus_of(site).vm.memory_mib
    found = {}
    for node in members(site):
        if not roles[node.name].get("query"):
            continue
        stores = stores_on(site, node.name)
        processes = sum(n for role, n in roles[node.name].items() if role not in STORE_MIB)
        taken = SYSTEM_MIB + sum(STORE_MIB[s] for s in stores) + PROCESS_MIB * processes
        found[node.name] = max(0, int(memory * USABLE) - taken)
    return found


def knowledge_checks(site: Site) -> Iterator[PreflightCheck]:
    """Yield the check of the expected collections; nothing where none is expected."""
    if site.knowledge is None or not milvus_of(site).collections:
        return
    room, need = room_mib(site), needed_mib(site)
    worst = max(room, key=lambda name: (room[name], name))
    left = sum(room.values()) - room[worst] if len(room) > 1 else sum(room.values())
    parts = "; ".join(
        f"{name}: {c.vectors:,} x {c.dimension} {c.index.value} at {bytes_per_vector(c)} bytes"
        for name, c in sorted(milvus_of(site).collections.items())
    )
    yield check(
        "PREFLIGHT_KNOWLEDGE_MEMORY",
        "knowledge.milvus.collections",
        need <= left,
        seen=f"query nodes have {left} MiB for data with {worst} lost, of {sum(room.values())}",
        needed=f"{need} MiB for {_replicas(site)} replicas of {parts}",
        hint="give vm.memory_mib more, raise nodes and roles.query, or use IVF_SQ8: "
        "one byte a dimension",
    )


def object_store_checks(site: Site, problems: Iterable[Problem]) -> Iterator[PreflightCheck]:
    """Yield the check of an external object store; ``problems``: what the asked one had."""
    store = None if site.knowledge is None else milvus_of(site).object_store
    if store is None:
        return
    needed = "an S3 endpoint with that bucket, its certificate and its key"
    problems = tuple(problems)
    for problem in problems:
        yield PreflightCheck(
            problem.code,
            problem.path,
            PreflightLevel.PROBLEM,
            problem.message,
            needed,
            problem.hint,
        )
    if not problems:
        seen = f"{store.place} answers"
        yield PreflightCheck("OBJECT_STORE", HERE, PreflightLevel.OK, seen, needed)


def _replicas(site: Site) -> int:
    return min(REPLICAS, max(1, milvus_of(site).roles.query // 2))
