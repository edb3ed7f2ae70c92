"""What the roles of an edge are told: HAProxy's endpoints, buffers and queues; VRRP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from permafrost import topology
from permafrost.planning.release import Release
from permafrost.site.model import Site
from permafrost.topology import Node

QUEUE_FACTOR = 4
"""Requests that may wait, as a multiple of what the replicas of an endpoint take at once."""

FEWEST_QUEUED = 64

BYTES_PER_TOKEN = 8
"""Of a prompt in JSON, generously: English has about four."""

HEADER_BYTES = 16 * 1024

SMALLEST_BUFFER = 64 * 1024

LARGEST_BODY = 4
"""A request of so many buffers cannot be a prompt that fits."""

HIGHEST_PRIORITY = 150
"""VRRP's, of the first edge; it matters only while nobody has the address."""


def buffer_bytes(site: Site) -> int:
    """Return the size of HAProxy's buffers: a prompt of the largest context fits into one.

    HAProxy can send a request again only while all of it lies in its buffer.
    """
    largest = max(e.max_context_tokens for e in site.inference.values())
    needed = largest * BYTES_PER_TOKEN + HEADER_BYTES
    return max(SMALLEST_BUFFER, 1 << (needed - 1).bit_length())


def _vip(site: Site, node: Node) -> dict[str, Any]:
    """Return what keeps the clients' address on one edge; nothing where there is none."""
    vip = site.edge.vip
    if vip is None:
        return {}
    edges = topology.edges(site)
    return {
        "keepalived_node_name": node.name,
        "keepalived_address": str(node.address),
        "keepalived_peers": [str(e.address) for e in edges if e.name != node.name],
        "keepalived_vip": f"{vip}/{topology.network_of(site, node).subnet.prefixlen}",
        "keepalived_router_id": site.edge.vrrp_id,
        "keepalived_priority": HIGHEST_PRIORITY - [e.name for e in edges].index(node.name),
    }


def edge_variables(site: Site, node: Node, releases: Mapping[str, Release]) -> dict[str, Any]:
    """Return what an edge is told; ``releases``: what each endpoint's slots hold."""
    vip = site.edge.vip
    return {
        **_vip(site, node),
        "edge_haproxy_addresses": [str(node.address), *([str(vip)] if vip else [])],
        "edge_haproxy_keys_required": site.edge.clients.keys == "required",
        "edge_haproxy_buffer_bytes": buffer_bytes(site),
        "edge_haproxy_largest_body_bytes": LARGEST_BODY * buffer_bytes(site),
        "edge_haproxy_slots": {name: held.live for name, held in sorted(releases.items())},
        "edge_haproxy_endpoints": [
            {
                "name": name,
                "port": endpoint.port,
                "max_context_tokens": endpoint.max_context_tokens,
                "max_concurrent": endpoint.max_concurrent,
                "max_queued": max(
                    FEWEST_QUEUED, QUEUE_FACTOR * endpoint.max_concurrent * endpoint.replicas
                ),
                "min_ready": endpoint.min_ready,
                "replicas": _places(topology.replicas(site, name)),
            }
            for name, endpoint in sorted(site.inference.items())
        ],
    }


def _places(replicas: Iterable[Node]) -> list[dict[str, str]]:
    return [{"name": replica.name, "address": str(replica.address)} for replica in replicas]
