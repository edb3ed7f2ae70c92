"""Certificates as values: what a server certificate must say, and when it has to be renewed.

Nothing here reads a clock or a file. A certificate that still fits is kept, so that a second
convergence finds the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
CLOCK_SLACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both PEM. The key never appears in a repr."""

    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "Issued(…)"


@dataclass(frozen=True, slots=True)
class ServerNames:
    """Every name and address under which a server is called."""

    common_name: str
    names: frozenset[str]
    addresses: frozenset[IPv4Address]
    is_client: bool = False
    """Whether it shows the certificate to other servers as well."""

    @classmethod
    def of(
        cls,
        common_name: str,
        names: Iterable[str],
        addresses: Iterable[IPv4Address],
        *,
        is_client: bool = False,
    ) -> ServerNames:
        """Return the names with the common name among them."""
        everything = frozenset({common_name, *names})
        return cls(common_name, everything, frozenset(addresses), is_client)


def new_authority(site: str, now: datetime) -> Issued:
    """Return a fresh certificate authority for one site."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"Permafrost site {site}")
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _issued(certificate, key)


def new_server(authority: Issued, wanted: ServerNames, now: datetime) -> Issued:
    """Return a server certificate for ``wanted``, signed by ``authority``."""
    authority_certificate = x509.load_pem_x509_certificate(authority.certificate_pem)
    authority_key = _load_key(authority.key_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(n) for n in sorted(wanted.names)]
    names += [x509.IPAddress(a) for a in sorted(wanted.addresses)]
    certificate = (
        _builder(
            _name(wanted.common_name),
            authority_certificate.subject,
            key.public_key(),
            now,
            min(SERVER_LIFE, authority_certificate.not_valid_after_utc - now),
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_purposes(wanted)), critical=False)
        .add_extension(_key_of(authority_certificate, authority_key), critical=False)
        .sign(authority_key, _hash_for(authority_key))
    )
    return _issued(certificate, key)


def reason_to_renew(
    current: bytes, wanted: ServerNames, authority_pem: bytes, now: datetime
) -> str | None:
    """Return why ``current`` must be replaced, or None when it still fits."""
    try:
        certificate = x509.load_pem_x509_certificate(current)
    except ValueError:
        return "it cannot be read"
    authority = x509.load_pem_x509_certificate(authority_pem)
    ends = certificate.not_valid_after_utc
    # One that lives as long as its authority gains nothing by being made anew.
    if ends - now < RENEW_BEFORE and ends < authority.not_valid_after_utc:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if names_of(certificate) != (wanted.names, wanted.addresses):
        return "the node's names or addresses have changed"
    if wanted.is_client and not _is_clients(certificate):
        return "it speaks for a server alone"
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return "it was signed by another authority"
    return None


def key_matches(certificate_pem: bytes, key_pem: bytes) -> bool:
    """Say whether a key file belongs to a certificate (a cut write leaves one without)."""
    try:
        public = x509.load_pem_x509_certificate(certificate_pem).public_key()
        return _load_key(key_pem).public_key() == public
    except ValueError:
        return False


def is_same_key(one_pem: bytes, other_pem: bytes) -> bool:
    """Say whether two certificates speak for one key: the second may be the first, renewed."""
    one, other = (x509.load_pem_x509_certificate(pem) for pem in (one_pem, other_pem))
    return one.public_key() == other.public_key() and one.subject == other.subject


def names_of(certificate: x509.Certificate) -> tuple[frozenset[str], frozenset[IPv4Address]]:
    """Return the DNS names and IPv4 addresses that a certificate speaks for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset(), frozenset()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (
        frozenset(names.get_values_for_type(x509.DNSName)),
        frozenset(a for a in addresses if isinstance(a, IPv4Address)),
    )


def _purposes(wanted: ServerNames) -> list[x509.ObjectIdentifier]:
    more = [ExtendedKeyUsageOID.CLIENT_AUTH] if wanted.is_client else []
    return [ExtendedKeyUsageOID.SERVER_AUTH, *more]


def _is_clients(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # A node whose clock is a little behind must not refuse a fresh certificate.
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + life)
    )


def _name(common_name: str) -> x509.Name:
    # X.520 ends a common name at 64 characters; the full name is in the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _key_of(
    authority: x509.Certificate, key: CertificateIssuerPrivateKeyTypes
) -> x509.AuthorityKeyIdentifier:
    """Return the id of an authority's key, as that authority itself says it."""
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _load_key(pem: bytes) -> CertificateIssuerPrivateKeyTypes:
    """Return a key that can sign: the authority of a site's owner has whichever was chosen."""
    key = serialization.load_pem_private_key(pem, password=None)
    kinds = (
        ec.EllipticCurvePrivateKey,
        rsa.RSAPrivateKey,
        ed25519.Ed25519PrivateKey,
        ed448.Ed448PrivateKey,
    )
    if not isinstance(key, kinds):
        raise ValueError("not a key that signs certificates")
    return key


def _hash_for(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | None:
    """Edwards curves bring their own (RFC 8410)."""
    edwards = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return None if edwards else hashes.SHA256()


def _issued(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    return Issued(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
