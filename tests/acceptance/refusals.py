"""Requests that are refused, or fail, each with words in it that nobody may write down."""

from __future__ import annotations

import json
from typing import Any

import grpc
import httpx
from tritonclient.grpc import service_pb2

OTHER = "sha256:" + "0" * 64
ONE = json.dumps({"max_tokens": 1})


def by_http(client: httpx.Client, url: str, words: str) -> dict[str, int]:
    """Send each kind; return the status that each got. ``url`` is where the model generates."""
    good = {"text_input": words, "sampling_parameters": ONE}
    kinds: dict[str, dict[str, Any]] = {
        "too long": {"json": {**good, "text_input": words + " one two three" * 2000}},
        "too large": {"json": {**good, "text_input": words + "x" * 600_000}},
        "wrong key": {"json": good, "headers": {"authorization": f"Bearer {words}"}},
        "pin of another": {"json": good, "headers": {"permafrost-checkpoint": OTHER}},
        "header too long": {"json": good, "headers": {"x-note": words * 600}},
        "broken JSON": {"content": json.dumps(good)[:-9]},
        "parameters are no JSON": {"json": {**good, "sampling_parameters": words}},
        "parameters are another type": {"json": {**good, "sampling_parameters": [words]}},
        "text is another type": {"json": {**good, "text_input": {words: words}}},
        "text is two": {"json": {**good, "text_input": [words, words]}},
        "no text": {"json": {"text": words}},
        "in the query": {"json": {**good, "stream": words}, "params": {"q": words}},
    }
    return {name: client.post(url, **sent).status_code for name, sent in kinds.items()}


def by_grpc(stub: Any, model: str, words: str) -> dict[str, str]:
    """Send each kind; return the message, or the code, that each got."""
    found = {
        "another model": _stream(stub, _asked("nobody", words, ONE)),
        "parameters are no JSON": _stream(stub, _asked(model, words, words)),
        "no parameters of that name": _stream(stub, _asked(model, words, ONE, words)),
    }
    for name, sent in (
        ("whole answer of a stream's model", _asked(model, words, ONE)),
        ("version that is none", _asked(model, words, ONE, version=words)),
    ):
        try:
            stub.ModelInfer(sent, timeout=30)
            found[name] = ""
        except grpc.RpcError as error:
            found[name] = str(error.code().name)
    return found


def _stream(stub: Any, message: Any) -> str:
    (answer,) = stub.ModelStreamInfer(iter([message]), timeout=30)
    return str(answer.error_message)


def _asked(model: str, text: str, sampling: str, more: str = "", version: str = "") -> Any:
    message = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    for name, value in (("text_input", text), ("sampling_parameters", sampling), (more, more)):
        if name:
            tensor = message.inputs.add(name=name, datatype="BYTES", shape=[1])
            tensor.contents.bytes_contents.append(value.encode())
    return message
