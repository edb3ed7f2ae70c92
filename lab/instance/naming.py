"""Names and addresses that follow from an instance's id. Pure, standard library only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

ID_PATTERN = re.compile(r"[a-z0-9]{1,8}")
NODE_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,62}")
SERVICES_GROUP = "_services"


def default_id(checkout: Path) -> str:
    """Return the id of the lab that belongs to a checkout."""
    return hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()[:6]


def instance_id(checkout: Path, chosen: str | None) -> str:
    """Return the chosen id (``PERMAFROST_LAB``) or the checkout's own. Raises ValueError."""
    name = chosen or default_id(checkout)
    if not ID_PATTERN.fullmatch(name):
        raise ValueError(f"lab id {name!r} must be 1 to 8 of a-z and 0-9")
    return name


def bridge_name(lab_id: str) -> str:
    """Return the name of the lab's bridge (a Linux link name: at most 15 characters)."""
    return f"pf{lab_id}"


def bridge_mac(lab_id: str) -> str:
    """Return the bridge's own hardware address (locally administered)."""
    digest = hashlib.sha256(f"bridge {lab_id}".encode()).digest()
    return ":".join(["02", *(f"{octet:02x}" for octet in digest[:5])])


def link_name(lab_id: str, node: str) -> str:
    """Return the name of the host's end of a machine's network link."""
    return f"{link_prefix(lab_id)}{hashlib.sha256(node.encode()).hexdigest()[:5]}"


def short_hash(text: str) -> str:
    """Return eight characters that stand for a text in names."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def link_prefix(lab_id: str) -> str:
    """Return what the links of all of a lab's machines begin with."""
    return f"v{lab_id}-"


def machine_name(lab_id: str, node: str) -> str:
    """Return the name under which systemd-nspawn runs a node."""
    return f"pf-{lab_id}-{node}"


def table_name(lab_id: str) -> str:
    """Return the name of the lab's nftables tables."""
    return f"pf{lab_id}"


def subnet_candidates(lab_id: str) -> Iterator[IPv4Network]:
    """Yield every subnet that a lab may use, its own first, the others in a fixed order."""
    digest = hashlib.sha256(lab_id.encode()).digest()
    first = (digest[0] % 64) * 256 + digest[1]
    for step in range(64 * 256):
        number = (first + step) % (64 * 256)
        yield IPv4Network(f"10.{64 + number // 256}.{number % 256}.0/24")


def choose_subnet(lab_id: str, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """Return the lab's first candidate that overlaps nothing taken."""
    busy = list(taken)
    for candidate in subnet_candidates(lab_id):
        if not any(candidate.overlaps(other) for other in busy):
            return candidate
    return None
