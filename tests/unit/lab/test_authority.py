"""Certificates of the lab's own servers."""

import ssl
from pathlib import Path

from cryptography import x509

from lab.instance.authority import ensure_authority, ensure_certificate


def test_the_authority_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    certificate = ensure_authority(tmp_path, "abc")
    before = certificate.read_bytes()
    assert ensure_authority(tmp_path, "abc").read_bytes() == before
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_a_server_is_known_by_its_address(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path / "ca", "abc")
    certificate, key = ensure_certificate(authority, tmp_path / "server", "10.70.1.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    assert key.stat().st_mode & 0o777 == 0o600
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.70.1.1"]
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.read_bytes()))


def test_a_certificate_is_kept_until_address_or_authority_changes(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path / "ca", "abc")
    server = tmp_path / "server"

    def made(address: str) -> bytes:
        return ensure_certificate(authority, server, address)[0].read_bytes()

    first = made("10.70.1.1")
    assert made("10.70.1.1") == first
    moved = made("10.70.2.1")
    assert moved != first
    authority = ensure_authority(tmp_path / "ca2", "abc")
    assert made("10.70.2.1") != moved


def test_a_damaged_certificate_is_replaced(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path / "ca", "abc")
    certificate, _ = ensure_certificate(authority, tmp_path, "10.70.1.1")
    certificate.write_text("cut short")
    ensure_certificate(authority, tmp_path, "10.70.1.1")
    assert x509.load_pem_x509_certificate(certificate.read_bytes())
