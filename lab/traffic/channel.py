"""A long-open gRPC stream, as clients of Triton keep it: requests now and then, idle between.

One bidirectional ModelStreamInfer call carries every request. It is recorded itself from opening
to end, so that one that is closed under its client while idle is seen as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc

from lab.traffic.client import Target
from lab.traffic.outcome import OK_STATUS, Answer, judge
from lab.traffic.record import Kind, Outcome, Record
from lab.traffic.workload import Ask, Workload

METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
FINAL = "triton_final_response"


@dataclass(frozen=True, slots=True)
class Channel:
    """One stream to an endpoint. ``address`` is host:port; ``ca`` the authority's PEM, or none.

    ``called``: by what name the server is verified, where that is not its address.
    """

    name: str
    address: str
    ca: bytes | None
    target: Target
    workload: Workload
    first: int
    called: str = ""

    async def run(self, every_s: float, until: float, keep: Callable[[Record], None]) -> None:
        """Keep the stream open until a moment (monotonic seconds), asking every so often."""
        opened, error, answers = time.time(), "", 0
        headers: dict[str, str] = {}
        try:
            async with self._connect() as connection:
                call = _stub(connection, self.target.key)
                number = self.first
                while time.monotonic() < until:
                    ended = await self._one(call, number, headers, keep)
                    answers += ended.outcome is Outcome.OK
                    if ended.error:
                        error = ended.error
                        break
                    number += 1
                    error = await _idle(call, min(every_s, max(0.0, until - time.monotonic())))
                    if error:
                        break
                if not error:
                    await call.done_writing()
                else:
                    call.cancel()
        except (grpc.RpcError, TimeoutError, OSError) as problem:
            error = _said(problem)
        keep(self._channel(opened, error, answers, headers))

    def _connect(self) -> Any:
        options: list[tuple[str, Any]] = [("grpc.max_receive_message_length", -1)]
        if self.ca is None:
            return grpc.aio.insecure_channel(self.address, options=options)
        if self.called:
            options.append(("grpc.ssl_target_name_override", self.called))
        credentials = grpc.ssl_channel_credentials(self.ca)
        return grpc.aio.secure_channel(self.address, credentials, options=options)

    def _channel(
        self, opened: float, error: str, answers: int, headers: Mapping[str, str]
    ) -> Record:
        outcome = Outcome.OK if not error else Outcome.CUT if headers else Outcome.FAILED
        return Record(
            id=self.name,
            kind=Kind.CHANNEL,
            start=opened,
            first_token=None,
            end=time.time(),
            status=OK_STATUS if headers else 0,
            replica=headers.get("permafrost-replica", ""),
            checkpoint=headers.get("permafrost-checkpoint", ""),
            tokens=(answers,),
            expected=(),
            outcome=outcome,
            error=error,
            channel=self.name,
        )

    async def _one(
        self, call: Any, number: int, headers: dict[str, str], keep: Callable[[Record], None]
    ) -> Record:
        ask = self.workload.ask(number)
        start, error = time.time(), ""
        came: list[float] = []
        tokens: list[int] = []
        try:
            await call.write(request(self.target.model, f"{self.name}-{number}", ask))
            while True:
                message = await asyncio.wait_for(call.read(), self.target.timeout_s)
                if message is grpc.aio.EOF:
                    error = "the stream ended"
                    break
                # Triton sends its headers with the first message, not before.
                headers.update({str(k): str(v) for k, v in await call.initial_metadata() or ()})
                if message.error_message:
                    error = message.error_message[:200]
                    break
                received = token_ids(message.infer_response)
                if received:
                    tokens += received
                    came.append(time.time())
                if message.infer_response.parameters[FINAL].bool_param:
                    break
        except (grpc.RpcError, TimeoutError, asyncio.InvalidStateError) as problem:
            error = _said(problem)
        checkpoint = headers.get("permafrost-checkpoint", "")
        replica = headers.get("permafrost-replica", "")
        answer = Answer(OK_STATUS if came else 0, tuple(tokens), checkpoint, replica, error)
        pinned, expected = ask.judged_by(checkpoint, self.target.checkpoint)
        done = Record(
            id=f"{self.name}-{number}",
            kind=Kind.GRPC,
            start=start,
            first_token=came[0] if came else None,
            end=time.time(),
            status=answer.status,
            replica=replica,
            checkpoint=checkpoint,
            tokens=answer.tokens,
            expected=expected,
            outcome=judge(answer, expected, pinned),
            error=error,
            token_ms=tuple(round((moment - start) * 1000, 1) for moment in came),
        )
        done = replace(done, channel=self.name)
        keep(done)
        return done


def _stub(connection: Any, key: str) -> Any:
    from tritonclient.grpc import service_pb2

    stub = connection.stream_stream(
        METHOD,
        request_serializer=service_pb2.ModelInferRequest.SerializeToString,
        response_deserializer=service_pb2.ModelStreamInferResponse.FromString,
    )
    return stub(metadata=(("authorization", f"Bearer {key}"),) if key else None)


async def _idle(call: Any, seconds: float) -> str:
    """Wait; return why the stream ended meanwhile, nothing when it did not."""
    ended = asyncio.ensure_future(call.code())
    done, _ = await asyncio.wait({ended}, timeout=seconds)
    if not done:
        ended.cancel()
        return ""
    return f"closed while idle: {ended.result()}"


def request(model: str, request_id: str, ask: Ask) -> Any:
    """Return an ask as a ModelInferRequest that wants its token ids and an end mark."""
    from tritonclient.grpc import service_pb2

    message = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    texts = {"text_input": ask.body["text_input"]}
    texts["sampling_parameters"] = ask.body["sampling_parameters"]
    for name, text in texts.items():
        tensor = message.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(str(text).encode())
    for name in ("stream", "return_token_ids"):
        tensor = message.inputs.add(name=name, datatype="BOOL", shape=[1])
        tensor.contents.bool_contents.append(True)
    return message


def token_ids(response: Any) -> list[int]:
    """Return the token ids of one response: INT32, little endian where they come raw."""
    for place, output in enumerate(response.outputs):
        if output.name != "token_ids":
            continue
        if response.raw_output_contents:
            raw = response.raw_output_contents[place]
            return [
                int.from_bytes(raw[i : i + 4], "little", signed=True)
                for i in range(0, len(raw), 4)
            ]
        return list(output.contents.int_contents)
    return []


def _said(problem: BaseException) -> str:
    if isinstance(problem, grpc.aio.AioRpcError):
        return f"{problem.code().name}: {problem.details()}"[:200]
    return f"{type(problem).__name__}: {problem}"[:200]
