"""Where the things stand that a site cannot do without, besides its own VMs."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from permafrost.site.model import Site


def services_of(site: Site) -> tuple[tuple[str, str], ...]:
    """Return (what, address) of vCenter, the registry and this machine, as far as known."""
    found = [
        *(("vCenter itself", a) for a in _addresses(site.vcenter.server.partition(":")[0])),
        *(("the registry", a) for a in _addresses(urlsplit(site.registry.url).hostname or "")),
        *(("the orchestrator's own machine", a) for a in _own_addresses(site)),
    ]
    return tuple(dict.fromkeys(found))


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
