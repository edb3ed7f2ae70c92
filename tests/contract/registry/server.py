"""Debian's docker-registry on a loopback port: TLS, a password file, a folder that goes away."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.token_server import ISSUER, SERVICE, Realm, token_server

STARTS_WITHIN_S = 15


@dataclass(frozen=True)
class Server:
    address: str
    ca_file: Path
    folder: Path


@contextmanager
def token_registry(folder: Path) -> Iterator[tuple[Server, Realm]]:
    """Run a registry that wants tokens, and the realm that gives them."""
    certificate, key = _certificate(folder)
    with token_server(certificate, key) as realm:
        auth = (
            f"token: {{realm: '{realm.url}', service: {SERVICE}, issuer: {ISSUER}, "
            f"rootcertbundle: {certificate}}}"
        )
        with _running(folder, certificate, key, auth) as server:
            yield server, realm


@contextmanager
def docker_registry(folder: Path) -> Iterator[Server]:
    """Run a registry that wants a password."""
    certificate, key = _certificate(folder)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode()
    (folder / "htpasswd").write_text(f"{USER}:{hashed}\n")
    auth = f"htpasswd: {{realm: registry, path: {folder}/htpasswd}}"
    with _running(folder, certificate, key, auth) as server:
        yield server


@contextmanager
def _running(folder: Path, certificate: Path, key: Path, auth: str) -> Iterator[Server]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("docker-registry is not installed: make bootstrap installs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"version: 0.1\n"
        f"log: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '{address}', tls: {{certificate: {certificate}, key: {key}}}}}\n"
        f"auth: {{{auth}}}\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        _await_listening(address, certificate, process)
        yield Server(address, certificate, folder)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_listening(address: str, ca_file: Path, process: subprocess.Popen[bytes]) -> None:
    context = ssl.create_default_context(cafile=str(ca_file))
    host, port = address.split(":")
    deadline = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=1) as raw:
                context.wrap_socket(raw, server_hostname=host).close()
                return
        except OSError:
            assert process.poll() is None, "docker-registry ended"
            assert time.monotonic() < deadline, "docker-registry does not listen"
            time.sleep(0.05)


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry under test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = folder / "tls.pem", folder / "tls.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, key_file
