"""Does a registry on a VM of the site answer, and with which certificate?"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from permafrost.errors import PermafrostError
from permafrost.pki import registry_ca
from permafrost.runbook.context import Context
from permafrost.runbook.doctor_tls import SOON_DAYS
from permafrost.runbook.findings import Finding, Level
from permafrost.site.load import LoadedSite
from permafrost.topology import registry_node

NAME = "registry"
ANSWERS_S = 10.0


def registry_findings(ctx: Context) -> Iterator[Finding]:
    """Return what is found of the site's own registry; nothing where it is no VM of the site."""
    node = registry_node(ctx.site)
    if node is None:
        return
    try:
        ctx.catalog.ping()
        shown = _certificate(ctx.loaded)
    except PermafrostError as error:
        yield Finding(NAME, Level.PROBLEM, "; ".join(p.message for p in error.problems))
        return
    except OSError as error:
        yield Finding(NAME, Level.PROBLEM, f"{ctx.site.registry.url}: {error}")
        return
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    detail = (
        f"{node.name} answers at {ctx.site.registry.url}; its certificate is of "
        f"{_common_name(shown['issuer'])}, until {ends:%Y-%m-%d}"
    )
    if (ends - datetime.now(UTC)).days < SOON_DAYS:
        hint = f"`permafrost converge {node.name} --renew-certificate`"
        yield Finding(NAME, Level.PROBLEM, f"{detail}: {hint}")
        return
    yield Finding(NAME, Level.OK, detail)


def _certificate(loaded: LoadedSite) -> dict[str, Any]:
    """Return the certificate that the registry shows, verified; raises OSError otherwise."""
    registry = loaded.site.registry
    trust = ssl.create_default_context(cafile=str(registry_ca(loaded)))
    place = (registry.host, registry.port)
    with (
        socket.create_connection(place, timeout=ANSWERS_S) as raw,
        trust.wrap_socket(raw, server_hostname=registry.host) as wrapped,
    ):
        return dict(wrapped.getpeercert() or {})


def _common_name(name: Any) -> str:
    return next((v for part in name for k, v in part if k == "commonName"), "an unnamed authority")
