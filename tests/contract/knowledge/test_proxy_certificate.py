"""A proxy whose certificate is not the site's is told apart from one that is away: real gRPC."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymilvus.grpc_gen import milvus_pb2_grpc

from permafrost.adapters.milvus import session
from permafrost.pki.store import SitePki
from permafrost.planning.knowledge_lacks import CERTIFICATE_WORDS
from tests.contract.knowledge.s3_bench import a_port
from tests.contract.knowledge.test_bench_clients import Proxy

MEMBER = "oslo-knowledge-01"


class Loopback:
    """As much of a shell as a connection takes: what is forwarded is here."""

    def __init__(self, port: int) -> None:
        self.port = port

    @contextmanager
    def forwarded(self, member: str, port: int) -> Iterator[int]:
        yield self.port


@contextmanager
def proxy_showing(pki: SitePki, name: str) -> Iterator[int]:
    issued = pki.server_certificate(name)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(Proxy(), server)
    pair = (issued.key_pem.encode(), issued.certificate_pem.encode())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


def said(port: int, ca: Path) -> str:
    shell: Any = Loopback(port)
    try:
        with session.connected(shell, MEMBER, 19530, ca, "any"):
            return ""
    except session.MilvusRefusedError as error:
        return str(error)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_S", 2.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("site", "name", "word"),
    [
        ("narvik", MEMBER, "local issuer"),
        ("oslo", "oslo-knowledge-02", "Hostname mismatch"),
    ],
    ids=["another authority", "another member's"],
)
def test_a_certificate_that_is_not_taken_is_named(
    site: str, name: str, word: str, tmp_path: Path
) -> None:
    ours = SitePki(tmp_path / "oslo", "oslo")
    theirs = ours if site == "oslo" else SitePki(tmp_path / site, site)
    ca = tmp_path / "ca.pem"
    ca.write_text(ours.ca_pem())
    with proxy_showing(theirs, name) as port:
        found = said(port, ca)
    assert found.startswith(f"its certificate is not one of the site for {MEMBER}: "), found
    assert word in found
    assert any(known in found for known in CERTIFICATE_WORDS)


@pytest.mark.usefixtures("quick")
def test_the_right_one_is_taken_and_one_that_is_away_has_none(tmp_path: Path) -> None:
    ours, ca = SitePki(tmp_path, "oslo"), tmp_path / "ca.pem"
    ca.write_text(ours.ca_pem())
    with proxy_showing(ours, MEMBER) as port:
        assert said(port, ca) == ""
    away = said(a_port(), ca)  # another: pymilvus would use its connection again
    assert away
    assert not any(known in away.lower() for known in CERTIFICATE_WORDS)


ASKED = """
import sys
from contextlib import nullcontext
from pathlib import Path
from permafrost.adapters.milvus import session

class Loopback:
    def forwarded(self, member, port):
        return nullcontext(int(sys.argv[1]))

session.CONNECT_S = 2.0
try:
    with session.connected(Loopback(), "oslo-knowledge-01", 19530, Path(sys.argv[2]), "any"):
        pass
except session.MilvusRefusedError as error:
    print(error)
"""


def test_grpc_says_nothing_by_itself(tmp_path: Path) -> None:
    ours, theirs = SitePki(tmp_path / "oslo", "oslo"), SitePki(tmp_path / "narvik", "narvik")
    ca = tmp_path / "ca.pem"
    ca.write_text(ours.ca_pem())
    with proxy_showing(theirs, MEMBER) as port:
        argv = [sys.executable, "-c", ASKED, str(port), str(ca)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "certificate" in done.stdout
    assert done.stderr == ""
