"""Rules about a registry that is a VM of the site."""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.errors import Problem
from permafrost.site.model import Site
from permafrost.site.registry import NODES_USER
from permafrost.topology import SSH_PORT


def check_registry(site: Site) -> Iterator[Problem]:
    """Yield every problem of ``registry`` that needs more than one of its keys.

    Whether a *name* in the URL leads to the VM is for the site's DNS to say, not for the file.
    """
    registry, node = site.registry, site.registry.node
    if node is None:
        if registry.ca_file is None:
            yield Problem(
                "REGISTRY_CA_FILE_MISSING",
                "no file says which authority the registry's certificate is of",
                "registry.ca_file",
                "name the authority's certificate, PEM",
            )
        return
    if registry.ca_file is not None:
        yield Problem(
            "REGISTRY_CA_FILE_UNUSED",
            "the site's own authority signs the certificate of the registry's VM",
            "registry.ca_file",
            "remove it",
        )
    if registry.username == NODES_USER:
        yield Problem(
            "REGISTRY_USERNAME_TAKEN",
            f"{NODES_USER} is who the nodes are to the registry, and may only read",
            "registry.username",
            "give another name to who writes",
        )
    named = registry.host_address
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
