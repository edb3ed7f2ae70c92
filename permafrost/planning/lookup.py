"""Find what a person named; say what there is when it is not there."""

from __future__ import annotations

from permafrost.errors import Problem, Refused
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
