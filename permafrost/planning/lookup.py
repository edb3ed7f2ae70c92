"""Find what a person named; say what there is when it is not there."""

from __future__ import annotations

from permafrost.errors import Problem, Refused
from permafrost.planning.live import LiveState
from permafrost.site.model import Endpoint, Site
from permafrost.topology import Node, Tier, nodes


def replica_named(site: Site, name: str) -> Node:
    """Return a replica of the site; Refused (REPLICA_UNKNOWN) lists the known ones."""
    known = [n for n in nodes(site) if n.tier is Tier.INFERENCE]
    for node in known:
        if node.name == name:
            return node
    names = ", ".join(n.name for n in known)
    raise Refused(
        Problem("REPLICA_UNKNOWN", "the site has no such replica", name, f"known are: {names}")
    )


def node_named(site: Site, name: str) -> Node:
    """Return a node of the site; Refused (NODE_UNKNOWN) lists the known ones."""
    for node in nodes(site):
        if node.name == name:
            return node
    names = ", ".join(n.name for n in nodes(site))
    raise Refused(
        Problem("NODE_UNKNOWN", "the site has no such node", name, f"known are: {names}")
    )


def endpoint_named(site: Site, name: str) -> Endpoint:
    """Return an endpoint of the site; Refused (ENDPOINT_UNKNOWN) lists the known ones."""
    if name in site.inference:
        return site.inference[name]
    names = ", ".join(sorted(site.inference))
    raise Refused(
        Problem("ENDPOINT_UNKNOWN", "the site has no such endpoint", name, f"known are: {names}")
    )


def is_rack(site: Site, name: str) -> bool:
    """Whether the site file puts a host into a rack of that name."""
    return any(at.rack == name for at in site.hosts.values())


def hosts_named(site: Site, live: LiveState, name: str) -> tuple[str, ...]:
    """Return a host, or the hosts of a rack; Refused (HOST_UNKNOWN) lists the known ones."""
    of_rack = tuple(sorted(h for h, at in site.hosts.items() if at.rack == name))
    if of_rack:
        return of_rack
    if live.inventory.host(name) is not None:
        return (name,)
    known = [h.name for h in live.inventory.hosts]
    racks = sorted({at.rack for at in site.hosts.values() if at.rack})
    raise Refused(
        Problem(
            "HOST_UNKNOWN",
            "the cluster has no such host, the site no such rack",
            name,
            f"hosts are: {', '.join(known)}; racks are: {', '.join(racks) or 'none'}",
        )
    )
