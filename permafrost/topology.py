"""Which nodes a site has: names, tiers and addresses, derived from the site file alone.

One node name everywhere: it is the VM, the inventory host, the HAProxy server, the journal's
target. Names are ``<site>-<endpoint>-NN``, ``<site>-edge-NN``, ``<site>-knowledge-NN`` and
``<site>-registry-01``.

A node's address comes from its group's own range where the site file gives one; else from its
network's range, which the groups share in node order: there a group that grows moves the
addresses of those behind it, and ``permafrost.planning.addresses`` refuses that on a live site.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, overload

from permafrost.site.derived import once_a_site

if TYPE_CHECKING:
    from permafrost.site.model import Endpoint, Network, Site, VmShape


NODE_PORT = 8443
SSH_PORT = 22
"""Where a node's HAProxy answers the edges, over TLS."""


class Tier(StrEnum):
    """What a node is for."""

    EDGE = "edge"
    INFERENCE = "inference"
    KNOWLEDGE = "knowledge"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Node:
    """One VM of the site. ``endpoint`` is empty but for inference nodes."""

    name: str
    tier: Tier
    address: IPv4Address
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are kept apart from each other: an endpoint's replicas, the edges, the members.

    ``path`` is where the site file speaks of it, ``counted_by`` the key of its size (none: it is
    always one), ``addressed_by`` that of its own addresses.
    """

    name: str
    tier: Tier
    count: int
    vm: VmShape
    path: str
    counted_by: str
    network: str = ""
    addresses: str = ""
    addressed_by: str = "addresses"

    @property
    def count_path(self) -> str:
        """Where the site file says how many there are."""
        return f"{self.path}.{self.counted_by}" if self.counted_by else self.path

    @property
    def addresses_path(self) -> str:
        """Where the site file says which addresses they have."""
        return f"{self.path}.{self.addressed_by}"


class AddressPool(Sequence[IPv4Address]):
    """The addresses ``first`` to ``last``, none of them made before it is asked for."""

    def __init__(self, first: int, last: int) -> None:
        self._numbers = range(first, last + 1)

    @overload
    def __getitem__(self, index: int) -> IPv4Address: ...
    @overload
    def __getitem__(self, index: slice) -> list[IPv4Address]: ...
    def __getitem__(self, index: int | slice) -> IPv4Address | list[IPv4Address]:
        if isinstance(index, slice):
            return [IPv4Address(n) for n in self._numbers[index]]
        return IPv4Address(self._numbers[index])

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv4Address) and int(address) in self._numbers

    def overlaps(self, other: AddressPool) -> bool:
        """Whether any address is in both."""
        mine, theirs = self._numbers, other._numbers
        return mine[0] <= theirs[-1] and theirs[0] <= mine[-1]


@lru_cache(maxsize=1024)
def address_pool(text: str) -> AddressPool:
    """Return the addresses of ``first-last``, both included. Raises ValueError when malformed."""
    first_text, _, last_text = text.partition("-")
    first, last = IPv4Address(first_text), IPv4Address(last_text)
    if last < first:
        raise ValueError(f"{last} is before {first}")
    return AddressPool(int(first), int(last))


@once_a_site
def groups(site: Site) -> tuple[Group, ...]:
    """Return the groups in node order: edges, endpoints by name, knowledge, registry."""
    edge = site.edge
    found = [
        Group("edge", Tier.EDGE, edge.nodes, edge.vm, "edge", "nodes",
              edge.network or "", edge.addresses or "")
    ]  # fmt: skip
    for name, endpoint in sorted(site.inference.items()):
        found.append(
            Group(name, Tier.INFERENCE, endpoint.replicas, endpoint.vm, f"inference.{name}",
                  "replicas", endpoint.network or "", endpoint.addresses or "")
        )  # fmt: skip
    if site.knowledge is not None:
        milvus = site.knowledge.milvus
        found.append(
            Group("knowledge", Tier.KNOWLEDGE, milvus.nodes, milvus.vm, "knowledge.milvus",
                  "nodes", milvus.network or "", milvus.addresses or "")
        )  # fmt: skip
    if (node := site.registry.node) is not None:
        found.append(
            Group("registry", Tier.REGISTRY, 1, node.vm, "registry.node", "", node.network or "",
                  f"{node.address}-{node.address}", "address")
        )  # fmt: skip
    return tuple(found)


def names_by_group(site: Site) -> dict[str, tuple[str, ...]]:
    """Return the node names of each group, in node order."""
    return {g.name: _names(site.site, g.name, g.count) for g in groups(site)}


def _names(site: str, group: str, count: int) -> tuple[str, ...]:
    return tuple(f"{site}-{group}-{i:02}" for i in range(1, count + 1))


def node_names(site: Site) -> list[tuple[str, Tier, str]]:
    """Return (name, tier, endpoint) of every node: edges first, then endpoints by name."""
    names = names_by_group(site)
    return [
        (name, g.tier, g.name if g.tier is Tier.INFERENCE else "")
        for g in groups(site)
        for name in names[g.name]
    ]


@once_a_site
def nodes(site: Site) -> tuple[Node, ...]:
    """Return the site's nodes with their addresses. The site must have passed its checks."""
    names, shared = names_by_group(site), dict[str, Iterator[IPv4Address]]()
    found: list[Node] = []
    for g in groups(site):
        if g.addresses:
            source = iter(address_pool(g.addresses))
        else:
            pool = address_pool(network_named(site, g.network).addresses)
            source = shared.setdefault(g.network, iter(pool))
        endpoint = g.name if g.tier is Tier.INFERENCE else ""
        found += (
            Node(name, g.tier, address, endpoint)
            for name, address in zip(names[g.name], source, strict=False)
        )
    return tuple(found)


def replicas(site: Site, endpoint: str) -> tuple[Node, ...]:
    """Return the nodes that serve one endpoint."""
    return tuple(n for n in nodes(site) if n.endpoint == endpoint)


def edges(site: Site) -> tuple[Node, ...]:
    """Return the edge nodes."""
    return tuple(n for n in nodes(site) if n.tier is Tier.EDGE)


def service_address(site: Site) -> IPv4Address:
    """Return the address that clients use: the edges' common one, or the only edge's own."""
    return site.edge.vip if site.edge.vip else edges(site)[0].address


def group_of(site: Site, node: Node) -> Group:
    """Return the group that a node belongs to."""
    name = node.endpoint or node.tier.value
    return next(g for g in groups(site) if g.name == name)


def vm_shape(site: Site, node: Node) -> VmShape:
    """Return the size of a node's VM."""
    return group_of(site, node).vm


def network_named(site: Site, name: str) -> Network:
    """Return one of the site's networks; the empty name is that of ``network``."""
    return site.networks[name] if name else site.network


def network_of(site: Site, node: Node) -> Network:
    """Return the network that a node stands in."""
    return network_named(site, group_of(site, node).network)


def port_group_of(site: Site, node: Node) -> str:
    """Return the port group of a node's network adapter."""
    return network_of(site, node).port_group or site.vcenter.network


def datastore_of(site: Site, node: Node) -> str:
    """Return the datastore of a node's disks."""
    by_tier = {
        Tier.EDGE: site.storage.edge,
        Tier.INFERENCE: site.storage.inference,
        Tier.KNOWLEDGE: site.storage.knowledge,
        Tier.REGISTRY: site.storage.registry,
    }
    return by_tier[node.tier] or site.vcenter.datastore


def data_disk_gib(site: Site, node: Node) -> int:
    """Return the size of the disk that outlives everything else of a node's VM; 0: it has none."""
    if node.tier is Tier.KNOWLEDGE and site.knowledge is not None:
        return site.knowledge.milvus.data_disk_gib
    if node.tier is Tier.REGISTRY and site.registry.node is not None:
        return site.registry.node.data_disk_gib
    return 0


def holds_data(site: Site) -> bool:
    """Whether any VM of the site has a disk that must not be taken away with it."""
    return any(data_disk_gib(site, node) for node in nodes(site))


def registry_node(site: Site) -> Node | None:
    """Return the VM that is the site's registry; None where the registry is there already."""
    return next((n for n in nodes(site) if n.tier is Tier.REGISTRY), None)


def endpoint_of(site: Site, node: Node) -> Endpoint:
    """Return the endpoint that an inference node serves."""
    return site.inference[node.endpoint]


def rule_name(site: Site, endpoint: str) -> str:
    """Return the name of the DRS rule that keeps the members of a group apart."""
    return f"keep-apart-{site.site}-{endpoint}"
