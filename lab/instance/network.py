"""The lab's bridge and its walls.

Machines talk to each other and to this Linux machine, and to nothing else: nothing is forwarded
between the bridge and any other link. A machine whose network is cut loses every frame both
ways, ARP included, without a reset or an unreachable message, as when a switch port goes dead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import IPv4Network

from lab.instance import naming
from lab.instance.commands import run
from lab.instance.model import Instance


def networks_in_use(own_bridge: str) -> set[IPv4Network]:
    """Return every network that a link or a route of this Linux machine already has."""
    taken: set[IPv4Network] = set()
    for route in json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]"):
        target = route.get("dst", "")
        if route.get("dev") == own_bridge or target in ("", "default"):
            continue
        taken.add(IPv4Network(target, strict=False))
    for link in json.loads(run(["ip", "-json", "-4", "address", "show"]) or "[]"):
        if link.get("ifname") == own_bridge:
            continue
        for info in link.get("addr_info", []):
            if "local" in info:
                taken.add(IPv4Network(f"{info['local']}/{info['prefixlen']}", strict=False))
    return {network for network in taken if network.is_private or network.is_link_local}


def _links() -> set[str]:
    return {link["ifname"] for link in json.loads(run(["ip", "-json", "link", "show"]))}


def ensure(instance: Instance) -> None:
    """Make the bridge and the walls; nothing changes where they stand."""
    bridge = instance.allocation.bridge
    if bridge not in _links():
        # Without an address of its own a bridge takes over one of its ports', and changes it when
        # that machine goes: all others would talk to a dead neighbour until they ask again.
        run(
            [
                "ip",
                "link",
                "add",
                bridge,
                "address",
                naming.bridge_mac(instance.id),
                "type",
                "bridge",
            ]
        )
    address = f"{instance.gateway}/{instance.network.prefixlen}"
    run(["ip", "address", "replace", address, "dev", bridge])
    run(["ip", "link", "set", bridge, "up"])
    run(["nft", "-f", "-"], stdin=walls(instance.id, bridge, cut_links(instance.id)))


def walls(lab_id: str, bridge: str, cut: Iterable[str] = ()) -> str:
    """Return the nftables rules of a lab, with the links that are cut."""
    table = naming.table_name(lab_id)
    names = ", ".join(f'"{name}"' for name in sorted(cut))
    elements = f"elements = {{ {names} }}" if names else ""
    return f"""
table inet {table} {{
}}
delete table inet {table}
table inet {table} {{
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname "{bridge}" oifname != "{bridge}" drop
        iifname != "{bridge}" oifname "{bridge}" drop
    }}
}}
table bridge {table} {{
}}
delete table bridge {table}
table bridge {table} {{
    set cut {{
        type ifname; {elements}
    }}
    chain input {{
        type filter hook input priority -200; policy accept;
        iifname @cut drop
    }}
    chain forward {{
        type filter hook forward priority -200; policy accept;
        iifname @cut drop
        oifname @cut drop
    }}
    chain output {{
        type filter hook output priority -200; policy accept;
        oifname @cut drop
    }}
}}
"""


def cut_links(lab_id: str) -> set[str]:
    """Return the links that are cut at present."""
    table = naming.table_name(lab_id)
    listing = json.loads(run(["nft", "--json", "list", "tables"]))
    tables = {(t["table"]["family"], t["table"]["name"]) for t in _items(listing, "table")}
    if ("bridge", table) not in tables:
        return set()
    found = json.loads(run(["nft", "--json", "list", "set", "bridge", table, "cut"]))
    return {name for item in _items(found, "set") for name in item["set"].get("elem", [])}


def _items(listing: dict[str, list[dict[str, dict[str, object]]]], kind: str) -> list[dict]:  # type: ignore[type-arg]
    return [item for item in listing.get("nftables", []) if kind in item]


def cut(lab_id: str, node: str) -> None:
    """Drop everything that a machine sends or is sent."""
    _element("add", lab_id, node)


def restore(lab_id: str, node: str) -> None:
    """End a cut."""
    if naming.link_name(lab_id, node) in cut_links(lab_id):
        _element("delete", lab_id, node)


def _element(verb: str, lab_id: str, node: str) -> None:
    link = naming.link_name(lab_id, node)
    table = naming.table_name(lab_id)
    run(["nft", verb, "element", "bridge", table, "cut", f'{{ "{link}" }}'])
