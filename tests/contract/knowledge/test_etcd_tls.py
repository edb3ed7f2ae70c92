"""etcd that speaks TLS alone, to who shows a certificate of the site; asked as members do.

Through the balancer as well: it passes on what is encrypted, and its own question is answered.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from permafrost.pki.store import SitePki
from tests.contract.knowledge.balancer_bench import await_checks, balancer
from tests.contract.knowledge.etcd_bench import NAMES, Etcd, etcd_program
from tests.contract.knowledge.s3_bench import a_port
from tests.golden.ansible.programs import knowledge_program

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    folder = tmp_path_factory.mktemp("etcd")
    cluster = Etcd(etcd_program(folder), folder, encrypts=True)
    try:
        for name in NAMES:
            cluster.start(name, "new")
        for name in NAMES:
            cluster.await_leader(name)
        yield cluster
    finally:
        for name in list(cluster.running):
            cluster.kill(name)


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return knowledge_program(tmp_path, "narvik-knowledge-01")


def test_a_member_with_its_certificate_is_answered(etcd: Etcd, program: ModuleType) -> None:
    told = etcd.settings()
    program.TRUST = program.trust(told)
    assert program.etcd(told)["answering"] == 3
    assert program.claim(told, "narvik-a")["owner"] == "narvik-a"


def test_everybody_else_is_refused(etcd: Etcd, program: ModuleType, tmp_path: Path) -> None:
    stranger = SitePki(tmp_path / "stranger", "bergen")
    own, right = etcd.settings()["tls"]["ca"], etcd.settings()["tls"]["own"]
    url = etcd.url(NAMES[0]) + "/v3/maintenance/status"
    plain = url.replace("https:", "http:")
    for asked, trust in (
        (plain, None),
        (url, ssl.create_default_context(cafile=own)),  # shows nothing
        (url, program.trust({"tls": {"ca": own, "own": str(etcd.pair("x", stranger))}})),
        (url, program.trust({"tls": {"ca": str(stranger.ca_path), "own": right}})),
        (url, program.trust({"tls": {"ca": own, "own": str(etcd.pair("y", is_client=False))}})),
    ):
        program.TRUST = trust
        with pytest.raises(OSError, match=r"(?s)."):
            program.post(asked, {})


def test_the_balancer_passes_on_what_is_encrypted_and_asks_for_itself(
    etcd: Etcd, tmp_path: Path
) -> None:
    port = a_port()
    places = [
        {"name": n, "address": "127.0.0.1", "port": etcd.ports[n][0]} for n in reversed(NAMES)
    ]
    with balancer(
        tmp_path,
        "narvik-knowledge-01",
        (etcd.pki.ca_pem(), etcd.pair(NAMES[0]).read_text()),
        store_balancer_etcd_port=port,
        store_balancer_etcd_servers=places,
    ) as ask:
        await_checks(ask, dict.fromkeys(NAMES, "L7OK"))
        url = f"https://127.0.0.1:{port}/health"
        with urllib.request.urlopen(url, timeout=5, context=etcd.trust()) as answer:
            assert b"true" in answer.read()
