"""Rules about networks and the addresses that nodes and clients use."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from permafrost.errors import Problem
from permafrost.site.check_time import check_time
from permafrost.site.model import Network, Site
from permafrost.topology import AddressPool, Group, address_pool, groups, network_named

_Pool = tuple[str, str, AddressPool, int]
"""Path of a range, name of its network, the range, how many nodes it must serve."""


def check_addresses(site: Site) -> Iterator[Problem]:
    """Yield every problem of networks, ranges and the virtual address."""
    unknown = [g for g in groups(site) if g.network and g.network not in site.networks]
    for group in unknown:
        known = ", ".join(sorted(site.networks)) or "none"
        yield Problem(
            "NETWORK_UNKNOWN",
            f"there is no network {group.network} in `networks`",
            f"{group.path}.network",
            f"known are: {known}; without this key it is `network`",
        )
    for name, network in _networks(site):
        if network.gateway not in network.subnet:
            yield Problem(
                "GATEWAY_OUTSIDE_SUBNET",
                f"{network.gateway} is not in {network.subnet}",
                f"{_path(name)}.gateway",
                "name the gateway of the nodes' own subnet",
            )
    yield from _subnets(site)
    yield from _ports(site)
    pools: list[_Pool] = []
    for path, name, text, needed in _ranges(site, [g for g in groups(site) if g not in unknown]):
        try:
            pools.append((path, name, address_pool(text), needed))
        except ValueError as error:
            yield Problem(
                "ADDRESSES_MALFORMED",
                f"{text!r}: {error}",
                path,
                "write first-last, for example 10.20.0.20-10.20.0.99",
            )
    for path, name, pool, needed in pools:
        yield from _pool(network_named(site, name), path, pool, needed)
    yield from _overlaps(pools)
    for name, network in _networks(site):
        yield from check_time(site, _path(name), network, [(at, pool) for at, _, pool, _ in pools])
    if site.edge.vip is not None and site.edge.network in (None, *site.networks):
        yield from _vip(network_named(site, site.edge.network or ""), site.edge.vip, pools)


def _path(network: str) -> str:
    return f"networks.{network}" if network else "network"


def _networks(site: Site) -> list[tuple[str, Network]]:
    return [("", site.network), *sorted(site.networks.items())]


def _ranges(site: Site, known: list[Group]) -> Iterator[tuple[str, str, str, int]]:
    for name, network in _networks(site):
        needed = sum(g.count for g in known if g.network == name and not g.addresses)
        yield f"{_path(name)}.addresses", name, network.addresses, needed
    for group in known:
        if group.addresses:
            yield group.addresses_path, group.network, group.addresses, group.count


def _subnets(site: Site) -> Iterator[Problem]:
    found = _networks(site)
    for i, (name, network) in enumerate(found):
        for other, before in found[:i]:
            if network.subnet.overlaps(before.subnet):
                yield Problem(
                    "SUBNETS_OVERLAP",
                    f"{network.subnet} overlaps {before.subnet} of `{_path(other)}`",
                    f"{_path(name)}.subnet",
                    "networks need subnets of their own",
                )


def _ports(site: Site) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for name, network in _networks(site):
        port_group = network.port_group or site.vcenter.network
        if port_group in taken:
            yield Problem(
                "PORT_GROUP_TAKEN",
                f"{port_group} is already the port group of `{taken[port_group]}`",
                f"{_path(name)}.port_group",
                "each network needs a port group of its own",
            )
        taken.setdefault(port_group, _path(name))


def _pool(network: Network, path: str, pool: AddressPool, needed: int) -> Iterator[Problem]:
    subnet = network.subnet
    ends = (pool[0], pool[-1])
    if any(a not in subnet or a in (subnet[0], subnet[-1]) for a in ends):
        yield Problem(
            "ADDRESSES_OUTSIDE_SUBNET",
            f"{pool[0]}-{pool[-1]} does not lie within the hosts of {subnet}",
            path,
            "use addresses between the subnet's first and last host",
        )
    if network.gateway in pool:
        yield Problem(
            "GATEWAY_IN_ADDRESSES",
            f"the gateway {network.gateway} lies within {pool[0]}-{pool[-1]}",
            path,
            "leave the gateway out of the range",
        )
    if len(pool) < needed:
        yield Problem(
            "ADDRESSES_TOO_FEW",
            f"{len(pool)} addresses for {needed} nodes",
            path,
            f"give at least {needed} addresses",
        )


def _overlaps(pools: list[_Pool]) -> Iterator[Problem]:
    for i, (path, _, pool, _) in enumerate(pools):
        for before, _, other, _ in pools[:i]:
            if pool.overlaps(other):
                yield Problem(
                    "ADDRESSES_OVERLAP",
                    f"{pool[0]}-{pool[-1]} overlaps `{before}`",
                    path,
                    "give each range addresses of its own",
                )


def _vip(network: Network, vip: IPv4Address, pools: list[_Pool]) -> Iterator[Problem]:
    subnet = network.subnet
    if vip not in subnet or vip in (subnet[0], subnet[-1]):
        yield Problem(
            "EDGE_VIP_OUTSIDE_SUBNET",
            f"{vip} is no host of {subnet}, where the edges stand",
            "edge.vip",
            "use a free address of the edges' subnet",
        )
    if vip == network.gateway:
        yield Problem("EDGE_VIP_TAKEN", f"{vip} is the gateway", "edge.vip", "use a free address")
    for path, _, pool, _ in pools:
        if vip in pool:
            yield Problem(
                "EDGE_VIP_TAKEN",
                f"{vip} lies within `{path}`: a node may get it",
                "edge.vip",
                "use an address outside of every range",
            )
