"""The site's own certificate authority and its SSH key."""

from __future__ import annotations

from permafrost.pki.ssh import SshKey, ssh_key
from permafrost.pki.store import ServerCertificate, SitePki

__all__ = ["ServerCertificate", "SitePki", "SshKey", "ssh_key"]
