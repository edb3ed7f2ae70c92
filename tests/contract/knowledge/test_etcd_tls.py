"""etcd that speaks TLS alone, to who shows a certificate of the site; asked as members do.

Through the balancer as well: it passes on what is encrypted, and its own question is answered.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from permafrost.pki.store import SitePki
from tests.contract.knowledge.etcd_bench import NAMES, Etcd, etcd_program
from tests.golden.ansible.programs import knowledge_program
from tests.golden.ansible.rendering import render

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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    tls = tmp_path / "tls"
    tls.mkdir()
    (tls / "ca.pem").write_text(etcd.pki.ca_pem())
    (tls / "server.pem").write_text(etcd.pair(NAMES[0]).read_text())
    places = [
        {"name": n, "address": "127.0.0.1", "port": etcd.ports[n][0]} for n in reversed(NAMES)
    ]
    text = (
        render(
            "haproxy/stores.cfg.j2",
            "narvik-knowledge-01",
            store_balancer_etcd_port=port,
            store_balancer_etcd_servers=places,
        )
        .replace("/etc/haproxy/tls", str(tls))
        .replace("/run/haproxy/admin.sock", f"{tls}/admin")
    )
    drop = ("    chroot ", "    user ", "    group ", "    log /dev/log")
    lines = [line for line in text.splitlines() if not line.startswith(drop)]
    (tmp_path / "stores.cfg").write_text("\n".join(lines) + "\n")
    balancer = subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "stores.cfg")])
    try:
        _await_up(tls / "admin", len(NAMES))
        url = f"https://127.0.0.1:{port}/health"
        with urllib.request.urlopen(url, timeout=5, context=etcd.trust()) as answer:
            assert b"true" in answer.read()
    finally:
        balancer.kill()
        balancer.wait()


def _await_up(admin: Path, count: int) -> None:
    """Wait until the balancer's own questions have been answered by so many members."""
    end, said = time.monotonic() + 20, ""
    while time.monotonic() < end:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(admin))
                connection.sendall(b"show stat\n")
                said = connection.makefile().read()
        except OSError:
            said = ""
        checked = [line for line in said.splitlines() if ",L7OK," in line]
        if len(checked) >= count:
            return
        time.sleep(0.2)
    raise AssertionError(said)
