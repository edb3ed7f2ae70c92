"""What the site's owner brings to TLS: an authority for the nodes, a certificate for the edges."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from permafrost.errors import Problem, Refused
from permafrost.pki import given
from permafrost.pki.certificates import Issued
from permafrost.pki.store import ServerCertificate, SitePki
from permafrost.topology import service_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permafrost.site.load import LoadedSite
    from permafrost.site.tiers import CertificateFiles

EDGE, AUTHORITY = "edge.tls", "tls.authority"


@dataclass(frozen=True, slots=True)
class EdgeTrust:
    """How a client knows the edges: by these certificates (PEM), under this name."""

    pem: str
    name: str

    def context(self) -> ssl.SSLContext:
        """Return a context that trusts nobody else.

        The edges' certificate is trusted itself: who signed it is its owner's affair.
        """
        found = ssl.create_default_context(cadata=self.pem)
        found.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        return found


def site_pki(loaded: LoadedSite) -> SitePki:
    """Return the site's authority: its owner's where the site file names one, else its own."""
    site = loaded.site
    files = site.tls.authority if site.tls is not None else None
    brought = None if files is None else _checked(loaded, files, AUTHORITY)
    return SitePki(loaded.state_dir, site.site, brought)


def registry_ca(loaded: LoadedSite) -> Path:
    """Return the authority of the registry's certificate: the site's own where it is a VM of it.

    Raises Refused where an authority that the owner brings cannot be used.
    """
    named = loaded.site.registry.ca_file
    return site_pki(loaded).ca_path if named is None else loaded.resolve(named)


def edge_certificate(loaded: LoadedSite) -> ServerCertificate | None:
    """Return the edges' certificate that the owner brings; None where the site has none."""
    files = loaded.site.edge.tls
    if files is None:
        return None
    brought = _checked(loaded, files, EDGE)
    return ServerCertificate(
        _lines(brought.certificate_pem.decode()), _lines(brought.key_pem.decode())
    )


def edge_trust(loaded: LoadedSite) -> EdgeTrust:
    """Return how this computer verifies the edges. Refused where a file cannot be read."""
    address = service_address(loaded.site)
    files = loaded.site.edge.tls
    if files is None:
        return EdgeTrust(site_pki(loaded).ca_pem(), str(address))
    pem = _read(loaded, files.certificate_file, f"{EDGE}.certificate_file")
    try:
        name = given.called(given.chain_of(pem), address)
    except ValueError:
        raise Refused(given.unreadable(f"{EDGE}.certificate_file")) from None
    return EdgeTrust(pem.decode(), name)


def owners_problems(loaded: LoadedSite, now: datetime | None = None) -> tuple[Problem, ...]:
    """Return all that is wrong with what the owner brings; nothing where that is nothing.

    Commands that deploy look here. Others do not: a certificate that has ended must not keep
    anybody from draining a replica.
    """
    return tuple(_problems(loaded, now or datetime.now(UTC)))


def endings(loaded: LoadedSite) -> Iterator[tuple[str, datetime | None]]:
    """Return until when each chain that the owner brings is good; None where it cannot be read."""
    for files, path in _brought(loaded):
        try:
            chain = given.chain_of(_read(loaded, files.certificate_file, path))
        except (Refused, ValueError):
            yield path, None
            continue
        yield path, min(c.not_valid_after_utc for c in chain)


def _problems(loaded: LoadedSite, now: datetime) -> Iterator[Problem]:
    for files, path in _brought(loaded):
        try:
            pair = _pair(loaded, files, path)
        except Refused as error:
            yield from error.problems
            continue
        yield from _judged(pair, path, now)


def _brought(loaded: LoadedSite) -> Iterator[tuple[CertificateFiles, str]]:
    if loaded.site.edge.tls is not None:
        yield loaded.site.edge.tls, EDGE
    if loaded.site.tls is not None:
        yield loaded.site.tls.authority, AUTHORITY


def _checked(loaded: LoadedSite, files: CertificateFiles, path: str) -> Issued:
    pair = _pair(loaded, files, path)
    if problems := _judged(pair, path, datetime.now(UTC)):
        raise Refused(*problems)
    return pair


def _judged(pair: Issued, path: str, now: datetime) -> list[Problem]:
    judge = given.server_problems if path == EDGE else given.authority_problems
    return judge(pair.certificate_pem, pair.key_pem, now, path)


def _pair(loaded: LoadedSite, files: CertificateFiles, path: str) -> Issued:
    return Issued(
        _read(loaded, files.certificate_file, f"{path}.certificate_file"),
        _read(loaded, files.key_file, f"{path}.key_file"),
    )


def _read(loaded: LoadedSite, file: str, path: str) -> bytes:
    try:
        return loaded.resolve(file).read_bytes()
    except OSError as error:
        hint = "paths are relative to the folder of the site file; this user must read it"
        problem = Problem("FILE_UNREADABLE", f"{error.filename}: {error.strerror}", path, hint)
        raise Refused(problem) from None


def _lines(text: str) -> str:
    """HAProxy reads certificate and key from one file: neither may run into the other."""
    return text if text.endswith("\n") else text + "\n"
