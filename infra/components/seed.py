"""What a VM is told at its first boot: cloud-init through ``guestinfo``. It holds no secret."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from permafrost.topology import network_of

if TYPE_CHECKING:
    from permafrost.site.model import Site
    from permafrost.topology import Node

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "cloud_init"
KEYS = (
    "guestinfo.metadata",
    "guestinfo.metadata.encoding",
    "guestinfo.userdata",
    "guestinfo.userdata.encoding",
)


def seed_of(site: Site, node: Node, ssh_public_key: str) -> dict[str, str]:
    """Return the ``guestinfo`` keys of one node."""
    network = network_of(site, node)
    metadata = _render(
        "metadata.yaml.j2",
        instance_id=node.name,
        hostname=node.name,
        address=f"{node.address}/{network.subnet.prefixlen}",
        gateway=str(network.gateway),
        dns=[str(server) for server in network.dns],
    )
    userdata = _render("userdata.yaml.j2", ssh_public_key=ssh_public_key)
    return dict(zip(KEYS, (_base64(metadata), "base64", _base64(userdata), "base64"), strict=True))


def _render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Return what reads the templates: each is compiled once, not once a node."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (YAML, every value passes through tojson)
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
