"""Kafka that speaks TLS alone, to who shows a certificate of the site; asked as members do.

Three real brokers, which are controllers as well: what they say to each other is held to the same.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from permafrost.pki.store import SitePki
from tests.contract.knowledge.images import folder_of
from tests.contract.knowledge.kafka_bench import NAMES, REFUSED, Kafka
from tests.golden.ansible.programs import knowledge_program

pytestmark = pytest.mark.soak
ONE, THREE = NAMES[0], NAMES[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return knowledge_program(tmp_path_factory.mktemp("program"), ONE)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, program: ModuleType) -> Iterator[Kafka]:
    folder = tmp_path_factory.mktemp("kafka")
    libraries = folder_of("image-kafka", "opt/kafka/libs", folder / "libs")
    cluster = Kafka(libraries, folder)
    try:
        cluster.start()
        cluster.await_(lambda: brokers(cluster, program) == 3)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def stranger(tmp_path: Path) -> SitePki:
    """An authority of the same name that is another one."""
    return SitePki(tmp_path, "hamar")


def settings(kafka: Kafka) -> dict[str, Any]:
    """Return what permafrost-knowledge is told of it on the first member."""
    kafka.pki.ca_pem()
    return {
        "address": kafka.addresses[ONE],
        "etcd": [f"https://{address}:2379" for address in kafka.addresses.values()],
        "queue_tls": {"ca": str(kafka.pki.ca_path), "own": str(kafka.pair(ONE))},
    }


def brokers(kafka: Kafka, program: ModuleType) -> int:
    return int(program.queue(settings(kafka))["brokers"])


def test_everybody_else_is_refused_where_a_member_is_answered(
    kafka: Kafka, program: ModuleType, stranger: SitePki
) -> None:
    told = settings(kafka)
    own = told["queue_tls"]
    stranger.ca_pem()
    assert program.queue(told)["brokers"] == 3
    for files in (
        {},
        {**own, "own": str(kafka.pair(ONE, stranger))},
        {**own, "ca": str(stranger.ca_path)},
        {**own, "own": str(kafka.pair("a-server", is_client=False))},
    ):
        assert program.queue({**told, "queue_tls": files})["brokers"] == 0, files
        whom = program.trust({"queue_tls": files}, "queue_tls")
        with pytest.raises((OSError, struct.error, IndexError)):
            program.metadata(kafka.addresses[ONE], whom)
    with pytest.raises(OSError, match=r"(?s)."):
        program.metadata(kafka.addresses[ONE], ssl.create_default_context(cafile=own["ca"]))


def test_a_broker_at_an_address_that_is_not_its_certificates_is_refused(
    kafka: Kafka, program: ModuleType
) -> None:
    whom = program.trust(settings(kafka), "queue_tls")
    found, _ = program.metadata(kafka.addresses[THREE], whom)
    assert len(found) == 3
    connection = socket.create_connection((kafka.addresses[THREE], 9092), timeout=5)
    with connection, pytest.raises(ssl.SSLCertVerificationError):
        whom.wrap_socket(connection, server_hostname=kafka.addresses[ONE])


def test_controllers_are_held_to_the_same(kafka: Kafka, program: ModuleType) -> None:
    files = settings(kafka)["queue_tls"]
    shows_nothing = ssl.create_default_context(cafile=files["ca"])
    assert _hears(kafka, program.trust({"tls": files})) is TimeoutError, "it waits for a request"
    assert _hears(kafka, shows_nothing) is ssl.SSLError


def test_a_broker_of_another_authority_is_let_in_by_nobody(
    kafka: Kafka, program: ModuleType, stranger: SitePki
) -> None:
    kafka.stop([THREE])
    kafka.authorities[THREE] = stranger
    kafka.start([THREE])
    kafka.await_(lambda: REFUSED in kafka.log(THREE) and brokers(kafka, program) == 2)
    kafka.stop([THREE])
    del kafka.authorities[THREE]
    kafka.start([THREE])
    kafka.await_(lambda: brokers(kafka, program) == 3)
    assert REFUSED not in kafka.log(THREE)


def _hears(kafka: Kafka, whom: ssl.SSLContext) -> type[Exception]:
    """Return with what a silent connection to a controller ends within 2 s."""
    address = kafka.addresses[ONE]
    with (
        socket.create_connection((address, 9093), timeout=2) as connection,
        whom.wrap_socket(connection, server_hostname=address) as encrypted,
    ):
        try:
            encrypted.recv(1)
        except ssl.SSLError:
            return ssl.SSLError
        except TimeoutError:
            return TimeoutError
    return EOFError
