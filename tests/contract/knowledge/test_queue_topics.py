"""Topics that collections are written to, made before anything writes: three real brokers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.contract.knowledge.images import folder_of
from tests.contract.knowledge.kafka_bench import NAMES, Kafka
from tests.golden.ansible.programs import knowledge_program

TOPICS = [f"hamar-rootcoord-dml_{number}" for number in range(4)]
NOBODY = "127.0.0.1"
"""No broker listens there: the member that asks has none of its own."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return knowledge_program(tmp_path_factory.mktemp("program"), NAMES[0])


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, program: ModuleType) -> Iterator[Kafka]:
    folder = tmp_path_factory.mktemp("kafka")
    cluster = Kafka(folder_of("image-kafka", "opt/kafka/libs", folder / "libs"), folder)
    try:
        cluster.start()
        cluster.await_(lambda: program.queue(told(cluster))["brokers"] == 3)
        yield cluster
    finally:
        cluster.stop()


def told(kafka: Kafka, topics: list[str] | None = None) -> dict[str, Any]:
    """Return what permafrost-knowledge is told on a member that has no broker."""
    kafka.pki.ca_pem()
    return {
        "address": NOBODY,
        "etcd": [f"https://{address}:2379" for address in kafka.addresses.values()],
        "queue_tls": {"ca": str(kafka.pki.ca_path), "own": str(kafka.pair(NAMES[0]))},
        "topics": TOPICS if topics is None else topics,
    }


def test_every_broker_knows_who_leads_a_topic_that_was_made(
    kafka: Kafka, program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = told(kafka)
    _, before = program.cluster(settings)
    assert not set(TOPICS) & set(before), "the control: by themselves they are not there"
    assert program.make_topics(settings, 60.0) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "made": TOPICS}
    whom = program.trust(settings, "queue_tls")
    for address in kafka.addresses.values():
        brokers, topics = program.metadata(address, whom)
        assert sorted(brokers) == sorted(kafka.addresses.values())
        for topic in TOPICS:
            ((leader, copies, in_step),) = topics[topic]
            assert leader > 0
            assert (copies, in_step) == (3, 3)
    assert program.make_topics(settings, 60.0) == 0
    assert json.loads(capsys.readouterr().out)["made"] == [], "a second time changes nothing"


def test_a_topic_that_cannot_be_made_is_told_by_name(
    kafka: Kafka, program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.make_topics(told(kafka, ["not a topic's name"]), 2.0) == 1
    said = capsys.readouterr().err
    assert said.startswith("queue: ")
    for address in kafka.addresses.values():
        assert f"{address} does not know who leads not a topic's name" in said


def test_a_queue_that_does_not_answer_is_told(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"address": NOBODY, "etcd": [], "queue_tls": {}, "topics": TOPICS}
    assert program.make_topics(settings, 0.0) == 1
    assert capsys.readouterr().err == "queue: no broker answers\n"
