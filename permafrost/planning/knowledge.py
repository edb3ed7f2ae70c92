"""Which roles of the Milvus cluster each knowledge member has."""

from __future__ import annotations

from permafrost.site.model import Site
from permafrost.topology import Tier, nodes


def milvus_roles(site: Site) -> dict[str, dict[str, int]]:
    """Return member -> role -> how many of it; empty without a knowledge tier.

    Each role is spread evenly, and goes on where the one before ended: no member has all the
    active coordinators and a replica's only query node, whose loss together is the slowest.
    """
    if site.knowledge is None:
        return {}
    members = [n.name for n in nodes(site) if n.tier is Tier.KNOWLEDGE]
    found: dict[str, dict[str, int]] = {name: {} for name in members}
    place = 0
    for role, count in site.knowledge.milvus.roles.model_dump().items():
        for _ in range(count):
            has = found[members[place % len(members)]]
            has[role] = has.get(role, 0) + 1
            place += 1
    return found
