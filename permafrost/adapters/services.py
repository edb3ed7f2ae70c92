"""Where the things stand that a site cannot do without, besides its own VMs."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from permafrost.site.model import Site


def services_of(site: Site) -> tuple[tuple[str, str], ...]:
    """Return (what, address) of vCenter, the registry and this machine; "" where not known."""
    registry = urlsplit(site.registry.url).hostname
    found = {
        "vCenter itself": _addresses(site.vcenter.server.partition(":")[0]),
        "the registry": _addresses(registry) if registry else None,
        "the orchestrator's own machine": _own_addresses(site),
    }
    return tuple(
        (what, address)
        for what, addresses in found.items()
        if addresses is not None
        for address in addresses or ("",)
    )


def _addresses(host: str) -> tuple[str, ...]:
    try:
        answers = socket.getaddrinfo(host, None, socket.AF_INET)
    except OSError:
        return ()
    return tuple(sorted({str(answer[4][0]) for answer in answers}))


def _own_addresses(site: Site) -> tuple[str, ...]:
    """Return the address with which this machine speaks to the site; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(site.network.gateway), 9))
        except OSError:
            return ()
        return (str(probe.getsockname()[0]),)
