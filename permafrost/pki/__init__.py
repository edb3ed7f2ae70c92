"""The site's own certificate authority and its SSH key."""

from __future__ import annotations

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
