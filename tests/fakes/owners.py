"""A company's authorities and the certificates that they issue, made for a test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Certified:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self._key_as(NoEncryption())

    @property
    def locked_key_pem(self) -> bytes:
        return self._key_as(BestAvailableEncryption(b"word"))

    def _key_as(self, how: KeySerializationEncryption) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def certify(
    name: str,
    signer: Certified | None = None,
    *,
    is_authority: bool = False,
    names: tuple[str, ...] = (),
    begins: datetime | None = None,
    life: timedelta = YEAR,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> Certified:
    """Return a certificate; one that nobody else signs is a root, with an RSA key."""
    begins = begins or datetime.now(UTC) - timedelta(hours=1)
    if key is None:
        key = (
            ec.generate_private_key(ec.SECP384R1())
            if signer
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        # Another way to name a key than the usual digest of it: some authorities do so.
        .add_extension(x509.SubjectKeyIdentifier(name.encode()), critical=False)
    )
    if names:
        found = [_general(n) for n in names]
        made = made.add_extension(x509.SubjectAlternativeName(found), critical=False)
    if signer is not None:
        its_id = x509.SubjectKeyIdentifier(_common(signer).encode())
        found_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(its_id)
        made = made.add_extension(found_id, critical=False)
    return Certified(made.sign(signer.key if signer else key, hashes.SHA256()), key)


def _common(of: Certified) -> str:
    return str(of.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
