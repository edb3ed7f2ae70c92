"""A real Triton behind our edge and nodes: prompts of every size, broken ones, errors in gRPC."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from model_registry.checkpoint import identify
from tests.acceptance.broken import bodies
from tests.contract.edge.front import OWN, PORT, Asked, Front
from tests.contract.fingerprint.server import Served, files_of_part, served

HTTP, GRPC = 8000, 8001
"""Where a node's HAProxy looks for slot a."""
BROKEN = 300
ONE = json.dumps({"max_tokens": 1, "temperature": 0})
KNOWN: dict[str, Any] = {
    "text_input": "What is the capital of France?",
    "return_token_ids": True,
    "sampling_parameters": json.dumps({"max_tokens": 8, "temperature": 0}),
}


def real(folder: Path) -> dict[str, Any]:
    """Serve the lab's chat model; return what each kind of request got."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    (folder / "checkpoint").mkdir()
    checkpoint = files_of_part("checkpoint-chat", folder / "checkpoint")
    digest = identify(checkpoint, "chat")
    (folder / "front").mkdir()
    with (
        served(checkpoint, folder / "server", digest, http=HTTP, grpc=GRPC) as running,
        Front(folder / "front", behind=(8010, 9100)) as front,
    ):
        return {
            "prompts": prompts(front),
            "broken": broken_bodies(front, running),
            "grpc": grpc_errors(folder / "front/pki/ca.pem"),
        }


def _ask(front: Front, body: object) -> Asked:
    return front.ask(data=json.dumps(body).encode(), timeout_s=120)


def prompts(front: Front) -> dict[str, Any]:
    """Ask with 2 KB, with 40 KB, and from one word too many downwards until one is answered.

    To read a long prompt takes a real model a while on a busy machine; a refusal takes none.
    """

    def asked(words: int) -> Asked:
        body = {"text_input": "word " * words, "sampling_parameters": ONE}
        return front.ask(data=json.dumps(body).encode(), timeout_s=240)

    small, large = asked(400), asked(8000)
    said = json.loads(large.body)["error"]
    tokens, context = (int(number) for number in re.findall(r"\d+", said))
    words = context - (tokens - 8000) + 1
    refused = []
    while (answer := asked(words)).status == 400:
        refused.append(json.loads(answer.body)["error"])
        words -= 1
    return {
        "2 KB": small.status,
        "40 KB": large.status,
        "said": said,
        "context": context,
        "refused": refused,
        "longest": {"status": answer.status, "tokens": words + tokens - 8000},
    }


def broken_bodies(front: Front, running: Served) -> dict[str, Any]:
    """Send bodies that are no requests, while another client asks for what is known."""
    known: list[str] = []
    ended = threading.Event()

    def ask_known() -> None:
        while not ended.is_set():
            answer = _ask(front, KNOWN)
            known.append(f"{answer.status} {json.loads(answer.body).get('token_ids')}")

    first = json.loads(_ask(front, KNOWN).body)["token_ids"]
    asking = threading.Thread(target=ask_known)
    asking.start()
    made = zip(range(BROKEN), bodies(1), strict=False)
    answers = [front.ask(data=body, timeout_s=60) for _, body in made]
    ended.set()
    asking.join()
    return {
        "statuses": Counter(a.status for a in answers),
        "said_with_5xx": sorted({a.body for a in answers if a.status >= 500}),
        "known": Counter(known),
        "first": f"200 {first}",
        "lives": running.process.poll() is None,
        "backend": json.loads(_ask(front, KNOWN).body)["token_ids"] == first,
    }


def _stream(stub: Any, model: str, sampling: str, timeout_s: float) -> list[Any]:
    message = service_pb2.ModelInferRequest(model_name=model)
    for name, value in (("text_input", "x"), ("sampling_parameters", sampling)):
        tensor = message.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(value.encode())
    tensor = message.inputs.add(name="stream", datatype="BOOL", shape=[1])
    tensor.contents.bool_contents.append(True)
    return list(stub.ModelStreamInfer(iter([message]), timeout=timeout_s))


def _code(call: Any) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def grpc_errors(ca_file: Path) -> dict[str, Any]:
    """Return how errors come over gRPC, all the way through both HAProxies."""
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    with grpc.secure_channel(f"{OWN}:{PORT}", credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        good = _stream(stub, "chat", ONE, 60)
        unknown = _stream(stub, "nobody", ONE, 30)
        wrong = _stream(stub, "chat", "no JSON", 30)
        endless = json.dumps({"max_tokens": 1500, "temperature": 0, "ignore_eos": True})
        version = service_pb2.ModelReadyRequest(name="chat", version="x")
        index = service_pb2.RepositoryIndexRequest()
        return {
            "good": [m.error_message for m in good],
            "unknown": [m.error_message for m in unknown],
            "wrong": [m.error_message for m in wrong],
            "version": _code(lambda: stub.ModelReady(version, timeout=30)),
            "repository": _code(lambda: stub.RepositoryIndex(index, timeout=30)),
            "late": _code(lambda: _stream(stub, "chat", endless, 1.0)),
            "after": [m.error_message for m in _stream(stub, "chat", ONE, 60)],
        }
