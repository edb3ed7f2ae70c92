"""Which nodes a site has: names, tiers and addresses, derived from the site file alone.

One node name everywhere: it is the VM, the inventory host, the HAProxy server, the journal's
target. Names are ``<site>-<endpoint>-NN`` and ``<site>-edge-NN``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permafrost.site.model import Endpoint, Site, VmShape


class Tier(StrEnum):
    """What a node is for."""

    EDGE = "edge"
    INFERENCE = "inference"


@dataclass(frozen=True, slots=True)
class Node:
    """One VM of the site. ``endpoint`` is empty for edges."""

    name: str
    tier: Tier
    address: IPv4Address
    endpoint: str = ""


def address_pool(text: str) -> list[IPv4Address]:
    """Return every address of ``first-last``, both included. Raises ValueError when malformed."""
    first_text, _, last_text = text.partition("-")
    first, last = IPv4Address(first_text), IPv4Address(last_text)
    if last < first:
        raise ValueError(f"{last} is before {first}")
    return [IPv4Address(n) for n in range(int(first), int(last) + 1)]


def node_names(site: Site) -> list[tuple[str, Tier, str]]:
    """Return (name, tier, endpoint) of every node: edges first, then endpoints by name."""
    names = [(f"{site.site}-edge-{i:02}", Tier.EDGE, "") for i in range(1, site.edge.nodes + 1)]
    for endpoint in sorted(site.inference):
        count = site.inference[endpoint].replicas
        names += [
            (f"{site.site}-{endpoint}-{i:02}", Tier.INFERENCE, endpoint)
            for i in range(1, count + 1)
        ]
    return names


def nodes(site: Site) -> tuple[Node, ...]:
    """Return the site's nodes with their addresses. The site must have passed its checks."""
    pool = address_pool(site.network.addresses)
    return tuple(
        Node(name, tier, address, endpoint)
        for (name, tier, endpoint), address in zip(node_names(site), pool, strict=False)
    )


def replicas(site: Site, endpoint: str) -> tuple[Node, ...]:
    """Return the nodes that serve one endpoint."""
    return tuple(n for n in nodes(site) if n.endpoint == endpoint)


def edges(site: Site) -> tuple[Node, ...]:
    """Return the edge nodes."""
    return tuple(n for n in nodes(site) if n.tier is Tier.EDGE)


def service_address(site: Site) -> IPv4Address:
    """Return the address that clients use: the edges' common one, or the only edge's own."""
    return site.edge.vip if site.edge.vip else edges(site)[0].address


def vm_shape(site: Site, node: Node) -> VmShape:
    """Return the size of a node's VM."""
    return endpoint_of(site, node).vm if node.endpoint else site.edge.vm


def endpoint_of(site: Site, node: Node) -> Endpoint:
    """Return the endpoint that an inference node serves."""
    return site.inference[node.endpoint]


def rule_name(site: Site, endpoint: str) -> str:
    """Return the name of the DRS rule that keeps the members of a group apart."""
    return f"keep-apart-{site.site}-{endpoint}"
