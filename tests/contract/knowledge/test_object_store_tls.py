"""The bundled object store that speaks TLS alone: three real nodes, asked as members do.

Through the balancer as well: it passes on what is encrypted, and its own question is believed to
be answered by nodes of the site's authority alone.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from permafrost.pki.store import SitePki
from tests.contract.knowledge.balancer_bench import await_checks, balancer
from tests.contract.knowledge.images import program_of
from tests.contract.knowledge.minio_bench import NAMES, Minio, whole
from tests.contract.knowledge.s3_bench import a_port
from tests.golden.ansible.programs import knowledge_program, load_program

pytestmark = pytest.mark.soak
NODE, STRANGE = NAMES[0], NAMES[2]
READY = "/minio/health/cluster"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program_of("image-minio", "usr/bin/minio", tmp_path_factory.mktemp("image") / "minio")


@pytest.fixture(scope="module")
def minio(server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with whole(server, tmp_path_factory.mktemp("minio")) as cluster:
        yield cluster


@pytest.fixture
def stranger(tmp_path: Path) -> SitePki:
    """An authority of the same name that is another one."""
    return SitePki(tmp_path / "stranger", "hamar")


def test_the_right_key_is_taken_and_a_wrong_one_is_not(minio: Minio) -> None:
    codes = {
        secret: found.code if (found := minio.asked(NODE, **told)) else ""
        for secret, told in (("right", {}), ("wrong", {"secret": "another-secret"}))
    }
    assert codes == {"right": "OBJECT_STORE_BUCKET_MISSING", "wrong": "OBJECT_STORE_KEY_REFUSED"}


def test_plain_text_and_another_authority_are_refused(minio: Minio, stranger: SitePki) -> None:
    found = minio.asked(NODE, ca=stranger.ca_pem())
    assert found is not None
    assert found.code == "OBJECT_STORE_CERTIFICATE"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(minio.url(NODE).replace("https:", "http:") + READY, timeout=5)
    assert refused.value.code == 400
    assert b"HTTPS server" in refused.value.read()


def test_a_member_sees_it_by_its_certificate_alone(
    minio: Minio, stranger: SitePki, tmp_path: Path
) -> None:
    member = knowledge_program(tmp_path, NODE)
    watch = load_program(tmp_path, "knowledge_watch/permafrost-knowledge-watch.py.j2", NODE)
    minio.pki.ca_pem()
    told = {
        "object_store": minio.url(NODE),
        "object_store_ready": READY,
        "object_store_external": False,
        "object_store_ca": str(minio.pki.ca_path),
    }
    assert member.object_store(told) == {"writable": True}
    assert watch.object_store_answer(told) == 200
    stranger.ca_pem()
    for wrong in (
        {"object_store_ca": str(stranger.ca_path)},
        {"object_store_ca": ""},
        {"object_store": minio.url(NODE).replace("https:", "http:")},
    ):
        assert member.object_store({**told, **wrong}) == {"writable": False}
        with pytest.raises(OSError, match=r"(?s)."):
            watch.object_store_answer({**told, **wrong})


def test_the_balancer_passes_on_what_is_encrypted_and_asks_for_itself(
    minio: Minio, tmp_path: Path
) -> None:
    port = a_port()
    with balancer(
        tmp_path,
        NODE,
        (minio.pki.ca_pem(), minio.pair(NODE)),
        store_balancer_object_store_port=port,
        store_balancer_object_store_servers=minio.places(),
        store_balancer_etcd_port=a_port(),
        store_balancer_etcd_servers=[],
    ) as ask:
        await_checks(ask, dict.fromkeys(NAMES, "L7OK"))
        trust = ssl.create_default_context(cafile=minio.pki.ca_path)
        url = f"https://127.0.0.1:{port}{READY}"
        with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
            assert answer.status == 200


def test_a_node_of_another_authority_is_sent_nobody(
    minio: Minio, stranger: SitePki, tmp_path: Path
) -> None:
    minio.stop([STRANGE])
    minio.authorities[STRANGE] = stranger
    minio.start([STRANGE])
    with balancer(
        tmp_path,
        NODE,
        (minio.pki.ca_pem(), minio.pair(NODE)),
        store_balancer_object_store_port=a_port(),
        store_balancer_object_store_servers=minio.places(),
        store_balancer_etcd_port=a_port(),
        store_balancer_etcd_servers=[],
    ) as ask:
        await_checks(ask, {NODE: "L7OK", NAMES[1]: "L7OK", STRANGE: "L6RSP"})
        minio.stop([STRANGE])
        del minio.authorities[STRANGE]
        minio.start([STRANGE])
        await_checks(ask, dict.fromkeys(NAMES, "L7OK"))
