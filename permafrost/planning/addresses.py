"""Addresses of a live site stay: a VM learns its address at its first boot and never again.

Groups without a range of their own share their network's in node order, so that a group that
grows or shrinks would move the addresses of those behind it. That is refused before anything is
placed; a range of its own (``addresses``) frees a group from its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address

from permafrost.errors import Problem
from permafrost.planning.snapshot import VmFacts
from permafrost.site.model import Site
from permafrost.topology import address_pool, group_of, groups, network_named, nodes


def moved_addresses(site: Site, vms: Iterable[VmFacts]) -> list[Problem]:
    """Return a problem for each live node whose address by the site file is another now.

    Only addresses that the site hands out count: an edge also shows the one that clients use.
    """
    pools = [
        address_pool(text)
        for text in (
            *(g.addresses for g in groups(site) if g.addresses),
            *(network_named(site, name).addresses for name in ("", *site.networks)),
        )
    ]
    wanted = {node.name: node for node in nodes(site)}
    found = []
    for vm in vms:
        node, has = wanted.get(vm.name), _address(vm.address)
        if node is None or has is None or has == node.address:
            continue
        if any(has in pool for pool in pools):
            found.append(
                Problem(
                    "ADDRESS_WOULD_CHANGE",
                    f"stands at {has}; the site file gives it {node.address} now",
                    vm.name,
                    f"give `{group_of(site, node).path}` and the group that changed ranges of "
                    "their own (`addresses`) that keep what stands where it is",
                )
            )
    return found


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None
