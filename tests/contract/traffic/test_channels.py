"""Long-open gRPC streams against a real gRPC server that answers, or closes them while idle."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from lab.traffic.channel import FINAL, METHOD, Channel
from lab.traffic.client import Target
from lab.traffic.record import Kind, Outcome, Record
from lab.traffic.workload import PulseWorkload, pulse_tokens

WEIGHTS = b"weights of the test"
PINNED = "sha256:" + "a" * 64


def _message(tokens: list[int], *, final: bool) -> Any:
    message = service_pb2.ModelStreamInferResponse()
    message.infer_response.parameters[FINAL].bool_param = final
    if tokens:
        message.infer_response.outputs.add(name="token_ids", datatype="INT32", shape=[1])
        raw = b"".join(t.to_bytes(4, "little") for t in tokens)
        message.infer_response.raw_output_contents.append(raw)
    return message


class Service(grpc.GenericRpcHandler):
    """Triton's streaming call, with a fault where it is told to have one."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def service(self, details: Any) -> Any:
        assert details.method == METHOD
        return grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=service_pb2.ModelInferRequest.FromString,
            response_serializer=service_pb2.ModelStreamInferResponse.SerializeToString,
        )

    async def _stream(self, requests: Any, context: Any) -> None:
        # As Triton does, the headers go with the first message.
        headers = {"permafrost-checkpoint": PINNED, "permafrost-replica": "lab-pulse-01"}
        unsent = [tuple(headers.items())]
        async for request in requests:
            if unsent:
                await context.send_initial_metadata(unsent.pop())
            texts = {i.name: i.contents.bytes_contents for i in request.inputs}
            settings = json.loads(texts["sampling_parameters"][0])
            prompt = texts["text_input"][0].decode()
            tokens = list(pulse_tokens(WEIGHTS, prompt, settings["max_tokens"]))
            for token in tokens[:2] if self.fault == "short" else tokens:
                await context.write(_message([token], final=False))
            if self.fault == "abort":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            await context.write(_message([], final=True))
            if self.fault == "idle":
                await asyncio.sleep(0.3)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "drained")


def held(fault: str, seconds: float = 1.0) -> list[Record]:
    """Keep one stream open at a server with a fault; return what was recorded."""
    records: list[Record] = []

    async def run() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Service(fault),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        target = Target("", "pulse", PINNED, 5)
        work = PulseWorkload(WEIGHTS, max_tokens=4, interval_ms=0)
        channel = Channel("t-g0", f"127.0.0.1:{port}", None, target, work, 0)
        await channel.run(0.4, time.monotonic() + seconds, records.append)
        await server.stop(None)

    asyncio.run(run())
    return records


def test_requests_share_one_stream_and_each_has_its_tokens_and_times() -> None:
    *asked, channel = held("")
    assert len(asked) >= 2
    assert {r.kind for r in asked} == {Kind.GRPC}
    assert {r.outcome for r in asked} == {Outcome.OK}
    assert all(len(r.token_ms) == 4 and r.channel == "t-g0" for r in asked)
    assert (channel.kind, channel.outcome) == (Kind.CHANNEL, Outcome.OK)
    assert channel.start <= asked[0].start
    assert channel.end >= asked[-1].end
    assert channel.replica == "lab-pulse-01"


@pytest.mark.parametrize(
    ("fault", "asked", "channel"),
    [
        ("short", {Outcome.CUT}, Outcome.OK),
        ("abort", {Outcome.CUT}, Outcome.CUT),
        ("idle", {Outcome.OK}, Outcome.CUT),
    ],
)
def test_a_stream_that_is_lost_says_when(
    fault: str, asked: set[Outcome], channel: Outcome
) -> None:
    *requests, itself = held(fault)
    assert {r.outcome for r in requests} == asked
    assert itself.outcome is channel
    if channel is not Outcome.OK:
        assert "UNAVAILABLE" in itself.error


def test_nobody_listening_is_failed_and_never_raises() -> None:
    target = Target("", "pulse", PINNED, 2)
    work = PulseWorkload(WEIGHTS, max_tokens=4, interval_ms=0)
    records: list[Record] = []
    channel = Channel("t-g0", "127.0.0.1:1", None, target, work, 0)
    asyncio.run(channel.run(0.1, time.monotonic() + 1, records.append))
    assert {r.outcome for r in records} == {Outcome.FAILED}
    assert [r.kind for r in records] == [Kind.GRPC, Kind.CHANNEL]
