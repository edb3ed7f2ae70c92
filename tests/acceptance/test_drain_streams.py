"""A replica is drained while clients hold gRPC streams open at it; one awaits its answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.conversing import Conversation, question
from tests.acceptance.driver import Cli, wait_until
from tests.acceptance.edges import Status

pytestmark = pytest.mark.soak
STREAMS = 9
ASKED = question({"max_tokens": 2, "interval_ms": 20}, "pulse")
LONG = question({"max_tokens": 25, "interval_ms": 1000}, "pulse")
"""25 s without a byte: longer than `drain_idle_stream_s`, 10 s."""


class Held:
    """The streams; ``idle`` and ``busy`` stand at the replica that is drained."""

    def __init__(self, every: list[Conversation]) -> None:
        (self.victim, _), *_ = Counter(stream.replica for stream in every).most_common()
        self.busy, *self.idle = (s for s in every if s.replica == self.victim)
        self.elsewhere = [s for s in every if s.replica != self.victim]


@pytest.fixture
def held(status: Status, ca_file: Path, permafrost: Cli) -> Iterator[Held]:
    """Streams at every replica of pulse, each asked once; afterwards every replica serves."""
    address = endpoint(status(), "pulse")["address"]
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    with grpc.secure_channel(address, credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        every = [Conversation(stub) for _ in range(STREAMS)]
        for stream in every:
            stream.converse(ASKED)
        found = Held(every)
        yield found
        for stream in every:
            stream.close()
    permafrost.run("undrain", found.victim, "--yes")


def test_idle_streams_are_ended_and_counted_and_the_answer_is_awaited(
    held: Held, permafrost: Cli
) -> None:
    held.busy.ask(LONG)
    drained = permafrost.json("drain", held.victim, "--deadline-s", "120", "--yes")
    assert len(held.busy.answers) == 2, "the drain went on until it was whole"
    assert not held.busy.answers[1].error_message
    # When its answer is there, its client holds it open too, and waits.
    assert drained["idle_streams_ended"] == len(held.idle) + 1 >= 3
    assert drained["cut"] == 0
    assert {s.finish() for s in (*held.idle, held.busy)} == {"CANCELLED"}
    for stream in held.elsewhere:
        stream.converse(ASKED)
    assert {(len(s.answers), s.ended) for s in held.elsewhere} == {(2, "")}


def test_at_the_deadline_none_is_cut_until_the_operator_says_so(
    held: Held, permafrost: Cli, status: Status
) -> None:
    """The control is the second drain: with ``--cut`` the answer is seen to be lost."""
    held.busy.ask(LONG)
    drain = ("drain", held.victim, "--deadline-s", "12", "--yes")
    done = permafrost.run(*drain, "--output", "json", expect=4)
    (problem,) = json.loads(done.stderr)
    assert problem["code"] == "DRAIN_DEADLINE"
    assert f"{len(held.idle) + 1} of them streams that clients hold open" in problem["message"]
    assert replica_state(status(), held.victim) == "DRAINING"
    wait_until("it is answered", lambda: len(held.busy.answers) == 2, 60)
    for stream in (*held.idle, held.busy):
        stream.converse(ASKED)
    assert {s.ended for s in (*held.idle, held.busy)} == {""}, "all of them go on"
    held.busy.ask(LONG)
    cut = permafrost.json("drain", held.victim, "--deadline-s", "5", "--cut", "--yes")
    assert cut["cut"] == len(held.idle) + 1
    assert held.busy.finish() == "CANCELLED"
    assert len(held.busy.answers) == 3, "what was asked last has no answer"
