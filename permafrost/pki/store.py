"""The site's authority and server certificates as files under the state folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from permafrost.errors import Failed, Problem, Refused
from permafrost.pki import certificates
from permafrost.pki.certificates import Issued, ServerNames
from permafrost.pki.files import locked, private_folder, write_whole
from permafrost.pki.given import chain_of, is_root


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a server needs to end TLS: certificate and key. The key never shows in a repr."""

    certificate_pem: str
    key_pem: str

    def __repr__(self) -> str:
        return "ServerCertificate(…)"


class SitePki:
    """Authority and server certificates of one site.

    Files: ``<state>/pki/ca.pem`` (public), ``ca.key`` and ``servers/<node>.{pem,key}`` (0600).
    ``brought``: the authority of the site's owner, its chain up to the root; its key stays in its
    owner's file.
    """

    def __init__(self, state_dir: Path, site: str, brought: Issued | None = None) -> None:
        self._folder = state_dir / "pki"
        self._site = site
        self._brought = brought

    @property
    def ca_path(self) -> Path:
        """The authority's certificate: what clients of the site trust."""
        self._authority()
        return self._folder / "ca.pem"

    def ca_pem(self) -> str:
        """Return the authority's certificate as text."""
        return self._authority().certificate_pem.decode()

    def server_certificate(
        self,
        node: str,
        *,
        names: Iterable[str] = (),
        addresses: Iterable[IPv4Address] = (),
        is_client: bool = False,
        now: datetime | None = None,
    ) -> ServerCertificate:
        """Return the node's certificate: the one it has, or a new one when that no longer fits."""
        now = now or datetime.now(UTC)
        wanted = ServerNames.of(node, names, addresses, is_client=is_client)
        authority = self._authority(now)
        folder = private_folder(self._folder / "servers")
        certificate, key = folder / f"{node}.pem", folder / f"{node}.key"
        with locked(self._folder):
            current = _read_pair(certificate, key)
            if current is None or certificates.reason_to_renew(
                current.certificate_pem, wanted, authority.certificate_pem, now
            ):
                current = certificates.new_server(authority, wanted, now)
                _write_pair(certificate, key, current)
        # A client that knows the root alone is shown those in between.
        between = [c for c in chain_of(authority.certificate_pem) if not is_root(c)]
        pem = b"".join([current.certificate_pem, *(c.public_bytes(Encoding.PEM) for c in between)])
        return ServerCertificate(pem.decode(), current.key_pem.decode())

    def retire(self, node: str) -> None:
        """Forget a node's certificate: it gets another one when it is next asked for.

        The old one stays valid where it is in use; nobody is told of it before the new one is.
        """
        folder = private_folder(self._folder / "servers")
        with locked(self._folder):
            for file in (folder / f"{node}.pem", folder / f"{node}.key"):
                file.unlink(missing_ok=True)

    def _authority(self, now: datetime | None = None) -> Issued:
        certificate, key = self._folder / "ca.pem", self._folder / "ca.key"
        with locked(self._folder):
            if self._brought is not None:
                return self._take_over(certificate, self._brought)
            current = _read_pair(certificate, key)
            if current is not None:
                return current
            if certificate.exists() and any(self._folder.glob("servers/*.pem")):
                raise Failed(
                    Problem(
                        "PKI_AUTHORITY_BROKEN",
                        f"{certificate} and {key.name} do not belong together",
                        path=str(self._folder),
                        hint="Restore both from a backup, or name the owner's authority in "
                        "`tls.authority` again; a new one would lock clients out.",
                    )
                )
            current = certificates.new_authority(self._site, now or datetime.now(UTC))
            _write_pair(certificate, key, current)
            return current

    def _take_over(self, certificate: Path, brought: Issued) -> Issued:
        """Publish the owner's authority as this site's, where nodes trust no other one yet."""
        before = certificate.read_bytes() if certificate.exists() else b""
        if before == brought.certificate_pem:
            return brought
        has_nodes = any(self._folder.glob("servers/*.pem"))
        if before and has_nodes and not certificates.is_same_key(before, brought.certificate_pem):
            raise Refused(
                Problem(
                    "PKI_AUTHORITY_CHANGED",
                    "the nodes of this site trust another authority, and each other by it",
                    path="tls.authority",
                    hint="keep the one the site was deployed with (a renewed certificate of the "
                    "same key is taken), or destroy the site and deploy it anew",
                )
            )
        write_whole(certificate, brought.certificate_pem, mode=0o644)
        return brought


def _read_pair(certificate: Path, key: Path) -> Issued | None:
    try:
        pair = Issued(certificate.read_bytes(), key.read_bytes())
    except FileNotFoundError:
        return None
    return pair if certificates.key_matches(pair.certificate_pem, pair.key_pem) else None


def _write_pair(certificate: Path, key: Path, pair: Issued) -> None:
    # The key goes first: a cut in between leaves a pair that does not match and is made anew.
    write_whole(key, pair.key_pem, mode=0o600)
    write_whole(certificate, pair.certificate_pem, mode=0o644)
