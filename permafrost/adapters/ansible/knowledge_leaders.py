"""Who tells proxies when to ask anew who leads, and who keeps leaders apart: settings. Pure."""

from __future__ import annotations

from typing import Any

from permafrost.adapters.ansible.knowledge_watch import member_tls
from permafrost.planning.knowledge import Unit, milvus_of, units_of, version_of
from permafrost.planning.query_leaders import SPREAD_UNIT
from permafrost.site.model import Site
from permafrost.topology import Node

INTERNAL_PORT = "PROXY_INTERNALPORT"
"""Where a proxy takes what the other roles tell it."""
PUBLIC_PORT = "PROXY_PORT"
"""Where a proxy takes what clients ask, by TLS."""
UNIT = "permafrost-knowledge-leaders"
QUERY_PORT = "QUERYNODE_PORT"


def leaders_settings(site: Site, node: Node, etcd: str) -> dict[str, Any]:
    """Return the settings file of permafrost-knowledge-leaders; ``etcd``: the balancer's URL.

    ``proxy`` and ``public`` are empty on a member without one: nobody is told there.
    """
    ports = [u.ports for u in units_of(site, node.name) if u.role == "proxies"]

    def where(port: str) -> str:
        return f"{node.address}:{ports[0][port]}" if ports else ""

    return {
        "address": str(node.address),
        "etcd": etcd,
        "root": site.site,
        "tls": member_tls(milvus_of(site).etcd_tls),
        "proxy": where(INTERNAL_PORT),
        "public": where(PUBLIC_PORT),
    }


def leaders_units(site: Site, node: Node) -> list[str]:
    """Return the unit that tells a member's proxy, and the one that keeps leaders apart.

    Neither without what it is for: a proxy, query nodes.
    """
    tells = any(waits_for_leaders(site, u) for u in units_of(site, node.name))
    spreads = bool(query_ports(site, node))
    return [unit for unit, runs in ((UNIT, tells), (SPREAD_UNIT, spreads)) if runs]


def query_ports(site: Site, node: Node) -> dict[str, int]:
    """Return the query nodes of a member that are emptied before they stop: unit to port.

    None of a version whose proxies find out by themselves.
    """
    if not version_of(site).pins_leaders:
        return {}
    return {u.name: u.ports[QUERY_PORT] for u in units_of(site, node.name) if u.role == "query"}


def waits_for_leaders(site: Site, unit: Unit) -> bool:
    """Return whether a process asks who leads when it begins, and keeps that."""
    return unit.role == "proxies" and version_of(site).pins_leaders
