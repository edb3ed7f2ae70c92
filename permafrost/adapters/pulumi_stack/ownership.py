"""The note by which a VM is known as ours, for people who read it and for repairs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permafrost.site.model import Site
    from permafrost.topology import Node


OWNED = "Permafrost: "
"""How the annotation of every VM begins that Permafrost made, of whichever site."""
NAMED = re.compile(rf"{OWNED}site ([^,]+), node ")


def annotation(site: Site, node: Node) -> str:
    """Return the annotation of a node's VM."""
    role = f"endpoint {node.endpoint}" if node.endpoint else str(node.tier)
    return f"{ownership_prefix(site, node.name)} {role}"


def ownership_prefix(site: Site, name: str) -> str:
    """Return how the annotation of a node's VM begins, whatever its role."""
    return f"{OWNED}site {site.site}, node {name},"


def site_of(note: str) -> str | None:
    """Return the site that an annotation names; None where it is not one of ours."""
    found = NAMED.match(note)
    return found[1] if found else None
