"""Variables of the roles on the registry's VM. Pure."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from permafrost.site.model import Site
from permafrost.topology import Node

DATA_FOLDER = "/srv/registry"
"""Where the data disk is mounted on the registry's VM."""
WRITER, READER = "writer", "reader"
"""What a user may do, as the map says it to HAProxy."""


def vm_variables(site: Site, node: Node) -> dict[str, Any]:
    """Return everything but the secrets that the roles of the registry's VM are told."""
    wanted = site.registry.node
    if wanted is None:
        raise ValueError("the site's registry is no VM of the site")
    return {
        "data_disk_device": wanted.data_device if site.environment == "hardware" else "",
        "data_disk_folder": DATA_FOLDER,
        "registry_folder": DATA_FOLDER,
        "registry_haproxy_address": str(node.address),
        "registry_haproxy_port": site.registry.port,
    }


def users_map(site: Site, writer_password: str, reader_password: str) -> str:
    """Return HAProxy's map of who may do what: digests of what users send, no password.

    The key is SHA-256 in hex of the whole ``Authorization`` header.
    """
    users = (
        (site.registry.username, writer_password, WRITER),
        (site.registry.reader, reader_password, READER),
    )
    return "".join(f"{_digest(user, password)} {right}\n" for user, password, right in users)


def _digest(user: str, password: str) -> str:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return hashlib.sha256(f"Basic {token}".encode()).hexdigest().upper()
