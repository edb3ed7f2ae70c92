"""The site's own certificate authority and its SSH key.

Each is imported when it is first asked for: most commands sign and read no certificate, and the
library for that takes as long to import as all of the site file's model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from permafrost.pki.owners import (
        edge_certificate,
        edge_trust,
        endings,
        owners_problems,
        registry_ca,
        site_pki,
    )
    from permafrost.pki.ssh import SshKey, ssh_key
    from permafrost.pki.store import ServerCertificate, SitePki

__all__ = [
    "ServerCertificate",
    "SitePki",
    "SshKey",
    "edge_certificate",
    "edge_trust",
    "endings",
    "owners_problems",
    "registry_ca",
    "site_pki",
    "ssh_key",
]
_ELSEWHERE = {"ServerCertificate": "store", "SitePki": "store", "SshKey": "ssh", "ssh_key": "ssh"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'owners')}"), name)
