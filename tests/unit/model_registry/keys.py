"""Keys and certificates made for a test."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model_registry.signing import SigningKey, Trusted

_PEM = serialization.Encoding.PEM


def keys(at: Path, name: str) -> tuple[SigningKey, Trusted]:
    """Make a key; return its private half and its public one."""
    private = ec.generate_private_key(ec.SECP256R1())
    anchor = at / f"{name}.pub"
    anchor.write_bytes(
        private.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return SigningKey(_private(at / f"{name}.key", private)), Trusted(name, anchor)


def certified(at: Path, name: str) -> tuple[SigningKey, Trusted]:
    """Make an authority and a certificate of it for signing; return key and authority."""
    authority, private = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate(f"{name} authority", authority, f"{name} authority", authority)
    leaf = _certificate(name, private, f"{name} authority", authority)
    anchor, certificate = at / f"{name}-ca.pem", at / f"{name}.pem"
    anchor.write_bytes(root.public_bytes(_PEM))
    certificate.write_bytes(leaf.public_bytes(_PEM))
    key = _private(at / f"{name}.key", private)
    return SigningKey(key, certificate=certificate, chain=(anchor,)), Trusted(name, anchor)


def _private(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain))
    return path


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    is_authority = key is signer
    usage = x509.KeyUsage(
        digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1 if is_authority else 0, minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(signer, hashes.SHA256())
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])
