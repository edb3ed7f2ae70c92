"""What an edge tells of gRPC streams, and which of them it ends, with a real HAProxy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.facts import StreamFacts
from tests.acceptance.conversing import Conversation, until
from tests.contract.ports.grpc_replica import GrpcReplica, running_grpc_edge
from tests.contract.ports.haproxy import Edge, LocalShell

ONE = "lab-chat-01"


def message(text: str) -> Any:
    """Return a message that the server answers with its id."""
    return service_pb2.ModelInferRequest(id=text)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Edge, GrpcReplica]]:
    if shutil.which("haproxy") is None:
        pytest.fail("this suite needs HAProxy: scripts/bootstrap.sh installs it")
    with running_grpc_edge(tmp_path, ONE) as found:
        yield found


@pytest.fixture
def director(tmp_path: Path) -> HaproxyRuntime:
    return HaproxyRuntime(["lab-edge-01"], LocalShell(tmp_path))


@pytest.fixture
def streams(running: tuple[Edge, GrpcReplica]) -> Iterator[list[Conversation]]:
    """Two streams that were asked once, over one connection."""
    with grpc.insecure_channel(f"127.0.0.1:{running[0].port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        found = [Conversation(stub) for _ in range(2)]
        for stream in found:
            stream.converse(message("hello"))
        yield found
        for stream in found:
            stream.close()


def by_name(director: HaproxyRuntime) -> dict[str, StreamFacts]:
    return {stream.name: stream for stream in director.streams(ONE)}


def test_what_moves_is_told_of_each_stream(
    running: tuple[Edge, GrpcReplica], director: HaproxyRuntime, streams: list[Conversation]
) -> None:
    """A question counts as soon as it is asked: nothing else tells it from silence."""
    before = by_name(director)
    assert len(before) == 2 == director.observe().in_flight(ONE)
    assert all(stream.is_held for stream in before.values())
    streams[0].ask(message("later"))
    until(lambda: by_name(director) != before, 10)
    asked = by_name(director)
    (name,) = (n for n in before if asked[n] != before[n])
    assert asked[name].moved[0] > before[name].moved[0]
    assert asked[name].moved[1] == before[name].moved[1]
    running[1].go.set()
    until(lambda: len(streams[0].answers) == 2, 10)
    until(lambda: by_name(director)[name].moved[1] > asked[name].moved[1], 10)


def test_one_whose_client_has_said_all_is_not_held(
    running: tuple[Edge, GrpcReplica], director: HaproxyRuntime, streams: list[Conversation]
) -> None:
    streams[0].ask(message("later"))
    streams[0].close()
    until(lambda: sorted(s.is_held for s in director.streams(ONE)) == [False, True], 10)
    assert director.end_streams(director.streams(ONE)) == 1
    running[1].go.set()
    assert streams[0].finish() == "OK"
    assert len(streams[0].answers) == 2
    assert streams[1].finish() == "CANCELLED"


def test_only_streams_that_are_as_they_were_seen_are_ended(
    director: HaproxyRuntime, streams: list[Conversation]
) -> None:
    seen = director.streams(ONE)
    streams[0].converse(message("meanwhile"))
    assert director.end_streams(seen) == 1
    assert streams[1].finish() == "CANCELLED"
    streams[0].converse(message("after"))
    assert [a.error_message for a in streams[0].answers] == ["hello", "meanwhile", "after"]
    until(lambda: director.observe().in_flight(ONE) == 1, 10)
    assert director.end_streams(seen) == 0, "there is nothing any more, or it has moved"


def test_streams_of_an_old_worker_are_told_and_ended(
    running: tuple[Edge, GrpcReplica], director: HaproxyRuntime, streams: list[Conversation]
) -> None:
    before = director.streams(ONE)
    running[0].reload()
    assert director.streams(ONE) == before
    streams[0].converse(message("after"))
    assert director.end_streams(director.streams(ONE)) == 2
    assert [stream.finish() for stream in streams] == ["CANCELLED"] * 2
    until(lambda: director.observe().in_flight(ONE) == 0, 10)
