"""Rules about the servers that nodes get the time from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from permafrost.errors import Problem
from permafrost.site.model import Network, Site
from permafrost.topology import AddressPool


def check_time(
    site: Site, path: str, network: Network, pools: Iterable[tuple[str, AddressPool]]
) -> Iterator[Problem]:
    """Yield what is wrong with the time servers of a network.

    ``pools`` are the ranges that nodes get their addresses from, with the path of each.
    """
    ranges = list(pools)
    for i, server in enumerate(network.time_servers):
        here = f"{path}.time_servers.{i}"
        if server in network.time_servers[:i]:
            yield Problem(
                "TIME_SERVER_TWICE",
                f"{server} is already named: one server asked twice is no second opinion",
                here,
                "name each server once",
            )
        elif (why := _unusable(network, server)) is not None:
            yield Problem(
                "TIME_SERVER_UNUSABLE", f"{server} {why}", here, "name a server's own address"
            )
        elif (taken := _node_at(site, server, ranges)) is not None:
            yield Problem(
                "TIME_SERVER_IS_NODE",
                f"{server} {taken}; nodes answer nobody who asks for the time",
                here,
                "name a server outside of the site's own addresses",
            )


def _unusable(network: Network, server: IPv4Address) -> str | None:
    if server in (network.subnet[0], network.subnet[-1]):
        return f"is no host of {network.subnet}"
    if server.is_multicast or server.is_reserved:
        return "is not the address of one machine"
    if server.is_loopback or server.is_unspecified:
        return "is each node itself"
    return None


def _node_at(site: Site, server: IPv4Address, ranges: list[tuple[str, AddressPool]]) -> str | None:
    if server == site.edge.vip:
        return "is the address that moves between the edges"
    within = (at for at, pool in ranges if server in pool)
    return next((f"lies within `{at}`: a node may get it" for at in within), None)
