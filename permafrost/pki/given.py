"""Certificates that the site's owner brings: what they must be, before anything uses them.

Nothing here reads a clock or a file.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from permafrost.errors import Problem
from permafrost.pki.certificates import names_of


def chain_of(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file in their order. Raises ValueError where none is."""
    return tuple(x509.load_pem_x509_certificates(pem))


def is_root(certificate: x509.Certificate) -> bool:
    """Say whether a certificate is signed by itself."""
    return _is_issued_by(certificate, certificate)


def server_problems(
    certificate_pem: bytes, key_pem: bytes, now: datetime, path: str
) -> list[Problem]:
    """Return why clients could not be served with this certificate (its chain behind it)."""
    found, chain = _pair_problems(certificate_pem, key_pem, now, path)
    if chain and names_of(chain[0]) == (frozenset(), frozenset()):
        found.append(
            Problem(
                "CERTIFICATE_WITHOUT_NAMES",
                "it has no subject alternative name, and clients compare with nothing else",
                f"{path}.certificate_file",
                "have it issued with the names or the address by which clients call the edges",
            )
        )
    return found


def authority_problems(
    certificate_pem: bytes, key_pem: bytes, now: datetime, path: str
) -> list[Problem]:
    """Return why nodes' certificates cannot be signed by this authority, or not be verified."""
    found, chain = _pair_problems(certificate_pem, key_pem, now, path)
    here = f"{path}.certificate_file"
    if chain and not _may_sign(chain[0]):
        found.append(
            Problem(
                "CERTIFICATE_NOT_AUTHORITY",
                f"{_name(chain[0])} may not sign certificates",
                here,
                "name an authority's certificate first (CA:TRUE, key usage keyCertSign)",
            )
        )
    if chain and not is_root(chain[-1]):
        found.append(
            Problem(
                "CERTIFICATE_CHAIN_WITHOUT_ROOT",
                f"the chain ends in {_name(chain[-1])}, which another one signed",
                here,
                "append the certificates up to the root: nodes verify each other by this file",
            )
        )
    return found


def called(chain: tuple[x509.Certificate, ...], address: IPv4Address) -> str:
    """Return by what name a server at an address is verified: the address where it is named."""
    names, addresses = names_of(chain[0])
    if address in addresses:
        return str(address)
    plain = sorted(n for n in names if not n.startswith("*."))
    if plain:
        return plain[0]
    wild = sorted(names)
    return wild[0].replace("*", "permafrost", 1) if wild else str(address)


def _pair_problems(
    certificate_pem: bytes, key_pem: bytes, now: datetime, path: str
) -> tuple[list[Problem], tuple[x509.Certificate, ...]]:
    here, key_here = f"{path}.certificate_file", f"{path}.key_file"
    found: list[Problem] = []
    try:
        chain = chain_of(certificate_pem)
    except ValueError:
        chain = ()
        found.append(unreadable(here))
    key = None
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except TypeError:
        found.append(
            Problem(
                "CERTIFICATE_KEY_ENCRYPTED",
                "the key is encrypted, and nobody is there to type its password at a restart",
                key_here,
                "write it without one, readable by you alone (chmod 600)",
            )
        )
    except (ValueError, UnsupportedAlgorithm):
        found.append(
            Problem(
                "CERTIFICATE_KEY_UNREADABLE", "it holds no PEM key", key_here, "write it as PEM"
            )
        )
    if chain and key is not None and key.public_key() != chain[0].public_key():
        found.append(
            Problem(
                "CERTIFICATE_KEY_MISMATCH",
                f"the key is not that of {_name(chain[0])}",
                key_here,
                "the server's or authority's own certificate comes first in the file",
            )
        )
    for certificate in chain:
        found += _life_problems(certificate, now, here)
    for lower, upper in pairwise(chain):
        if not _is_issued_by(lower, upper):
            found.append(
                Problem(
                    "CERTIFICATE_CHAIN_BROKEN",
                    f"{_name(upper)} did not sign {_name(lower)}",
                    here,
                    "each certificate is followed by the one that signed it",
                )
            )
    return found, chain


def unreadable(path: str) -> Problem:
    """Return what is said of a file without a certificate."""
    return Problem(
        "CERTIFICATE_UNREADABLE",
        "it holds no PEM certificate",
        path,
        "write the certificate as PEM, those that signed it behind it",
    )


def _life_problems(certificate: x509.Certificate, now: datetime, path: str) -> list[Problem]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends <= now:
        what = f"{_name(certificate)} ended at {ends:%Y-%m-%dT%H:%M:%SZ}"
        return [Problem("CERTIFICATE_EXPIRED", what, path, "renew it")]
    if begins > now:
        what = f"{_name(certificate)} begins at {begins:%Y-%m-%dT%H:%M:%SZ}"
        return [Problem("CERTIFICATE_NOT_YET_VALID", what, path, "look at this machine's clock")]
    return []


def _may_sign(certificate: x509.Certificate) -> bool:
    """RFC 5280, 4.2.1.3 and 4.2.1.9: CA:TRUE, and keyCertSign where a key usage is stated."""
    try:
        extensions = certificate.extensions
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return bool(extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign)
    except x509.ExtensionNotFound:
        return True


def _is_issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"
