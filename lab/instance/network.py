"""The lab's bridge and its walls.

Machines talk to each other and to this Linux machine, and to nothing else: nothing is forwarded
between the bridge and any other link. A machine whose network is cut loses every frame both
ways, ARP included, without a reset or an unreachable message, as when a switch port goes dead.
Two machines, or a machine and a server of the lab, can be severed from each other alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from lab.instance import naming
from lab.instance.commands import run
from lab.instance.model import Instance

# The sets of the bridge's walls and the type of their elements.
SETS = {
    "cut": "ifname",
    "severed": "ifname . ifname",
    "severed_ports": "ifname . inet_service",
    "severed_host": "ifname",
}
Elements = Mapping[str, Iterable[str]]


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
    run(["nft", "-f", "-"], stdin=walls(instance.id, bridge, elements(instance.id)))


def walls(lab_id: str, bridge: str, held: Elements | None = None) -> str:
    """Return the nftables rules of a lab, with the elements that its sets hold."""
    table = naming.table_name(lab_id)
    sets = "\n".join(_set(name, (held or {}).get(name, ())) for name in SETS)
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
{sets}
    chain input {{
        type filter hook input priority -200; policy accept;
        iifname @cut drop
        iifname @severed_host drop
        iifname . tcp dport @severed_ports drop
    }}
    chain forward {{
        type filter hook forward priority -200; policy accept;
        iifname @cut drop
        oifname @cut drop
        iifname . oifname @severed drop
    }}
    chain output {{
        type filter hook output priority -200; policy accept;
        oifname @cut drop
        oifname @severed_host drop
        oifname . tcp sport @severed_ports drop
    }}
}}
"""


def _set(name: str, held: Iterable[str]) -> str:
    listed = ", ".join(sorted(held))
    inside = f" elements = {{ {listed} }}" if listed else ""
    return f"    set {name} {{\n        type {SETS[name]};{inside}\n    }}"


def elements(lab_id: str) -> dict[str, set[str]]:
    """Return what the lab's sets hold at present, each element as nftables writes it."""
    table = naming.table_name(lab_id)
    listing = json.loads(run(["nft", "--json", "list", "tables"]))
    tables = {(t["table"]["family"], t["table"]["name"]) for t in _items(listing, "table")}
    if ("bridge", table) not in tables:
        return {name: set() for name in SETS}
    found = json.loads(run(["nft", "--json", "list", "table", "bridge", table]))
    held = {item["set"]["name"]: item["set"].get("elem", []) for item in _items(found, "set")}
    return {name: {_written(element) for element in held.get(name, [])} for name in SETS}


def _written(element: Any) -> str:
    parts = element["concat"] if isinstance(element, dict) else [element]
    return " . ".join(str(part) if isinstance(part, int) else f'"{part}"' for part in parts)


def _items(listing: dict[str, list[dict[str, dict[str, object]]]], kind: str) -> list[dict]:  # type: ignore[type-arg]
    return [item for item in listing.get("nftables", []) if kind in item]


def cut(lab_id: str, node: str) -> None:
    """Drop everything that a machine sends or is sent."""
    _add(lab_id, "cut", _link(lab_id, node))


def restore(lab_id: str, node: str) -> None:
    """End a cut."""
    _delete(lab_id, "cut", _link(lab_id, node))


def sever(lab_id: str, sender: str, receiver: str) -> None:
    """Drop every frame from one machine to another, ARP included."""
    _add(lab_id, "severed", f"{_link(lab_id, sender)} . {_link(lab_id, receiver)}")


def mend(lab_id: str, sender: str, receiver: str) -> None:
    """End what ``sever`` began."""
    _delete(lab_id, "severed", f"{_link(lab_id, sender)} . {_link(lab_id, receiver)}")


def sever_host(lab_id: str, node: str, port: int | None) -> None:
    """Drop what goes between a machine and this Linux machine, or one TCP port of it."""
    _add(lab_id, *_host_element(lab_id, node, port))


def mend_host(lab_id: str, node: str, port: int | None) -> None:
    """End what ``sever_host`` began."""
    _delete(lab_id, *_host_element(lab_id, node, port))


def _host_element(lab_id: str, node: str, port: int | None) -> tuple[str, str]:
    link = _link(lab_id, node)
    return ("severed_host", link) if port is None else ("severed_ports", f"{link} . {port}")


def _link(lab_id: str, node: str) -> str:
    return f'"{naming.link_name(lab_id, node)}"'


def _add(lab_id: str, name: str, element: str) -> None:
    table = naming.table_name(lab_id)
    run(["nft", "add", "element", "bridge", table, name, f"{{ {element} }}"])


def _delete(lab_id: str, name: str, element: str) -> None:
    if element in elements(lab_id)[name]:
        table = naming.table_name(lab_id)
        run(["nft", "delete", "element", "bridge", table, name, f"{{ {element} }}"])
