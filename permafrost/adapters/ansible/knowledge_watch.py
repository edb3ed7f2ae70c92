"""What the watch of a knowledge member is told. Pure."""

from __future__ import annotations

from typing import Any

from permafrost.planning.knowledge import (
    etcd_scheme,
    first_coordinators,
    members,
    members_with,
    milvus_of,
    object_store_scheme,
    stores_on,
    units_of,
)
from permafrost.planning.knowledge_status import COORDINATORS
from permafrost.site.model import Site
from permafrost.topology import Node

COORDINATORS_UNIT = "milvus-coordinators"
MEMBER_TLS = {"ca": "/etc/haproxy/tls/ca.pem", "own": "/etc/haproxy/tls/server.pem"}
"""Where a member has the site's authority, and its own certificate with its key."""


def member_tls(is_encrypted: bool) -> dict[str, str]:
    """Return with which files a member speaks to a store; nothing where that is plain text."""
    return dict(MEMBER_TLS) if is_encrypted else {}


def object_store_ca_file(site: Site) -> str:
    """Return the file with whom a member trusts to be the bundled object store; empty: nobody."""
    return member_tls(milvus_of(site).object_store_tls).get("ca", "")


def watch_settings(
    site: Site, node: Node, etcd: str, etcd_port: int, object_store_port: int
) -> dict[str, Any]:
    """Return the settings file of permafrost-knowledge-watch; ``etcd`` is the balancer's URL.

    Leaders of etcd go to members without coordinators first.
    """
    stores = stores_on(site, node.name)
    coordinators = {n.name for n in members_with(site, "coordinators")}
    others = [n for n in members_with(site, "etcd") if n.name != node.name]
    others.sort(key=lambda n: n.name in coordinators)
    own = f"{etcd_scheme(site)}://{node.address}"
    return {
        "units": {
            unit.name: [f"{node.address}:{port}" for port in unit.ports.values()]
            for unit in units_of(site, node.name)
        },
        "address": str(node.address),
        "peers": [str(n.address) for n in members(site) if n.name != node.name],
        "first": str(first_coordinators(site).address),
        "coordinators": list(COORDINATORS[milvus_of(site).version]),
        "coordinators_unit": COORDINATORS_UNIT,
        "root": site.site,
        "etcd": etcd,
        "own_etcd": f"{own}:{etcd_port}" if "etcd" in stores else "",
        "next_leaders": [f"{etcd_scheme(site)}://{n.address}:{etcd_port}" for n in others],
        "tls": member_tls(milvus_of(site).etcd_tls),
        "object_store": (
            f"{object_store_scheme(site)}://{node.address}:{object_store_port}"
            if "object_store" in stores
            else ""
        ),
        "object_store_ca": object_store_ca_file(site),
    }


def waits_for_first(site: Site, node: Node, role: str) -> bool:
    """Return whether a process is a coordinator that is to begin as a standby."""
    return role == "coordinators" and node.name != first_coordinators(site).name
