"""The probe of an external object store: against MinIO, and against what is no S3 at all."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.object_store import probe
from permafrost.pki.store import SitePki
from permafrost.site.object_store import ObjectStore
from tests.contract.knowledge.images import program_of
from tests.contract.knowledge.s3_bench import S3, SECRET, a_port
from tests.golden.ansible.programs import knowledge_program


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    folder = tmp_path_factory.mktemp("s3")
    server = S3(program_of("image-minio", "usr/bin/minio", folder / "minio"), folder)
    try:
        server.start()
        server.make_bucket()
        yield server
    finally:
        server.stop()


@pytest.mark.soak
def test_the_right_key_and_bucket_are_well(s3: S3) -> None:
    assert s3.asked() is None


@pytest.mark.soak
@pytest.mark.parametrize(
    ("other", "secret", "code", "key"),
    [
        ({"access_key": "somebody"}, SECRET, "OBJECT_STORE_KEY_REFUSED", "access_key"),
        ({}, "another-secret", "OBJECT_STORE_KEY_REFUSED", "access_key"),
        ({"bucket": "elsewhere"}, SECRET, "OBJECT_STORE_BUCKET_MISSING", "bucket"),
        ({"address": "localhost"}, SECRET, "OBJECT_STORE_CERTIFICATE", "ca_file"),
    ],
)
def test_each_that_is_wrong_has_its_code(
    s3: S3, other: dict[str, Any], secret: str, code: str, key: str
) -> None:
    found = probe(s3.store(**other), secret, s3.ca)
    assert found is not None
    assert (found.code, found.path) == (code, f"knowledge.milvus.object_store.{key}")
    assert secret not in f"{found.message}{found.hint}"


@pytest.mark.soak
def test_another_authority_is_not_trusted(s3: S3, tmp_path: Path) -> None:
    for ca in (SitePki(tmp_path, "oslo").ca_pem(), ""):
        found = probe(s3.store(), SECRET, ca)
        assert found is not None
        assert found.code == "OBJECT_STORE_CERTIFICATE"


@pytest.mark.soak
def test_a_member_sees_it_by_its_certificate_alone(s3: S3, tmp_path: Path) -> None:
    command = knowledge_program(tmp_path, "narvik-knowledge-01")
    (tmp_path / "ca.pem").write_text(s3.ca)
    (tmp_path / "other.pem").write_text(SitePki(tmp_path / "other", "oslo").ca_pem())
    told = {
        "object_store": f"https://127.0.0.1:{s3.port}",
        "object_store_ready": "/knowledge",
        "object_store_external": True,
        "object_store_ca": str(tmp_path / "ca.pem"),
    }
    assert command.object_store(told) == {"writable": True}
    for wrong in (
        {"object_store_ca": str(tmp_path / "other.pem")},
        {"object_store": f"https://127.0.0.1:{a_port()}"},
        {"object_store_ca": str(tmp_path / "missing.pem")},
    ):
        assert command.object_store({**told, **wrong}) == {"writable": False}


def store_at(port: int) -> ObjectStore:
    return ObjectStore.model_validate(
        {
            "address": "127.0.0.1",
            "port": port,
            "bucket": "knowledge",
            "access_key": "permafrost",
            "secret_key_file": "secret",
        }
    )


def test_nobody_there_and_plain_text_are_told(tmp_path: Path) -> None:
    ca = SitePki(tmp_path, "oslo").ca_pem()
    nobody = probe(store_at(a_port()), SECRET, ca)
    with _web(None) as port:
        plain = probe(store_at(port), SECRET, ca)
    for found in (nobody, plain):
        assert found is not None
        assert found.code == "OBJECT_STORE_UNREACHABLE"


def test_a_web_server_of_the_right_authority_is_no_object_store(tmp_path: Path) -> None:
    pki = SitePki(tmp_path, "oslo")
    with _web(pki, tmp_path) as port:
        found = probe(store_at(port), SECRET, pki.ca_pem())
    assert found is not None
    assert found.code == "OBJECT_STORE_UNREACHABLE"
    assert "HTTP 501" in found.message


def test_an_authority_with_words_of_any_language_before_it_is_read(tmp_path: Path) -> None:
    pki = SitePki(tmp_path, "oslo")
    with _web(pki, tmp_path) as port:
        found = probe(store_at(port), SECRET, f"# Autorité de la société\n{pki.ca_pem()}")
    assert found is not None
    assert "HTTP 501" in found.message, "its certificate was believed"


def test_an_authority_that_is_none_is_said() -> None:
    found = probe(store_at(a_port()), SECRET, "no certificate")
    assert found is not None
    assert (found.code, found.path) == (
        "OBJECT_STORE_CERTIFICATE",
        "knowledge.milvus.object_store.ca_file",
    )


@contextmanager
def _web(pki: SitePki | None, folder: Path = Path()) -> Iterator[int]:
    """Run a web server that knows nothing, with TLS or without; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if pki is not None:
        issued = pki.server_certificate("web", addresses=[IPv4Address("127.0.0.1")])
        pair = folder / "pair.pem"
        pair.write_text(issued.certificate_pem + issued.key_pem)
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(pair)
        server.socket = trust.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
