"""Who may reach what on which node: the matrix that nftables, tests and people share.

Pure. Only what opens a connection is held back: packets of an established one carry no bare SYN,
so that loading the rules, a reload of HAProxy and a moved VIP cut nobody, and a balancer needs no
connection tracking for its clients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses

from permafrost import topology
from permafrost.site.model import Site
from permafrost.topology import NODE_PORT, SSH_PORT, Node, Tier

ALONE = 32
"""The prefix of a network of one address."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A TCP port and who may open a connection to it. Without ``sources``: everybody.

    ``sources`` are IPv4 addresses or networks; ``name`` is the rule's own.
    """

    name: str
    port: int
    sources: tuple[str, ...]
    purpose: str


def openings(site: Site, node: Node) -> tuple[Opening, ...]:
    """Return what may be reached on an edge, an inference node or the registry's VM."""
    ssh = Opening("ssh", SSH_PORT, (), "administration: keys only")
    if node.tier is Tier.EDGE:
        networks = _clients(site, node)
        ports = {f"endpoint_{name}": e.port for name, e in sorted(site.inference.items())}
        if site.knowledge is not None:
            ports["knowledge"] = site.knowledge.milvus.port
        return (
            ssh,
            *(
                Opening(name.replace("-", "_"), port, networks, "clients")
                for name, port in ports.items()
            ),
        )
    if node.tier is Tier.REGISTRY:
        port = site.registry.port
        return (
            ssh,
            Opening("registry", port, _readers(site), "images and checkpoints, by password"),
        )
    edges = tuple(str(edge.address) for edge in topology.edges(site))
    return (ssh, Opening("edges", NODE_PORT, edges, "requests that an edge passes on"))


def _clients(site: Site, node: Node) -> tuple[str, ...]:
    """Return who may reach an edge's endpoints; empty: everybody.

    With a common address the other edges as well: one asks another whether it takes connections
    before it passes its clients on (docs/adr/0019).
    """
    networks = site.edge.clients.networks
    others = (IPv4Network(address) for address in vrrp_peers(site, node))
    return _joined((*networks, *others)) if networks else ()


def _joined(networks: Iterable[IPv4Network]) -> tuple[str, ...]:
    """Return networks joined where they overlap: a set of nftables has no element twice."""
    joined = collapse_addresses(networks)
    return tuple(str(n.network_address if n.prefixlen == ALONE else n) for n in joined)


def _readers(site: Site) -> tuple[str, ...]:
    """Return who may reach the registry's VM: nodes that pull, and the networks named for it."""
    node = site.registry.node
    if node is None or not node.clients:
        return ()
    pulling = (Tier.INFERENCE, Tier.KNOWLEDGE)
    own = (IPv4Network(n.address) for n in topology.nodes(site) if n.tier in pulling)
    return _joined([*node.clients, *own])


def time_servers(site: Site, node: Node) -> tuple[str, ...]:
    """Return whom a node of any tier asks for the time: nobody else is reached by NTP.

    Without any the walls say nothing about NTP: whoever keeps the template's clock is not known.
    """
    return tuple(str(server) for server in topology.network_of(site, node).time_servers)


def vrrp_peers(site: Site, node: Node) -> tuple[str, ...]:
    """Return the edges whose claims to the clients' address an edge hears; none without one."""
    if node.tier is not Tier.EDGE or site.edge.vip is None:
        return ()
    return tuple(str(e.address) for e in topology.edges(site) if e.name != node.name)
