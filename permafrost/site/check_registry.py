"""Rules about a registry that is a VM of the site."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from permafrost.errors import Problem
from permafrost.site.model import Site
from permafrost.topology import SSH_PORT


def check_registry(site: Site) -> Iterator[Problem]:
    """Yield every problem of ``registry`` that needs more than one of its keys.

    Whether a *name* in the URL leads to the VM is for the site's DNS to say, not for the file.
    """
    registry, node = site.registry, site.registry.node
    if node is None:
        return
    named = _address(registry.host)
    if named is not None and named != node.address:
        yield Problem(
            "REGISTRY_URL_ELSEWHERE",
            f"the registry's VM is {node.address}, and nodes would ask {named}",
            "registry.url",
            f"write oci://{node.address}:{registry.port}, or a name that leads there",
        )
    if registry.port == SSH_PORT:
        yield Problem(
            "PORT_TAKEN",
            f"port {registry.port} of the registry's VM is already used by SSH",
            "registry.url",
            "give the registry another port, for example 5000",
        )


def _address(host: str) -> IPv4Address | None:
    try:
        return IPv4Address(host)
    except AddressValueError:
        return None
