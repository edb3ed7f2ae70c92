"""People and stock clients ask the site a question; every replica gives the same answer."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli

QUESTION = "What is the capital of France?"
GREEDY = json.dumps({"max_tokens": 24, "temperature": 0})
Status = Callable[[], dict[str, Any]]


def test_ask_answers_with_text_replica_and_digest(permafrost: Cli, status: Status) -> None:
    answer = permafrost.json("ask", "chat", QUESTION)
    chat = endpoint(status(), "chat")
    assert answer["text"].strip()
    assert answer["replica"] in {r["name"] for r in chat["replicas"]}
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", answer["checkpoint"])
    assert answer["checkpoint"] == chat["live_checkpoint"]
    assert 0 < answer["ttft_ms"] <= answer["total_ms"]


def test_an_unknown_endpoint_is_one_clear_error(permafrost: Cli) -> None:
    done = permafrost.run("ask", "nobody", QUESTION, "--output", "json", expect=3)
    (problem,) = json.loads(done.stderr)
    assert problem["code"] == "ENDPOINT_UNKNOWN"
    assert "chat" in problem["hint"]


def test_generate_and_generate_stream_agree(client: httpx.Client, status: Status) -> None:
    url = f"https://{endpoint(status(), 'chat')['address']}/v2/models/chat"
    body = {"text_input": QUESTION, "sampling_parameters": GREEDY}
    whole = client.post(f"{url}/generate", json={**body, "stream": False})
    whole.raise_for_status()
    pieces = []
    with client.stream("POST", f"{url}/generate_stream", json={**body, "stream": True}) as answer:
        answer.raise_for_status()
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                pieces.append(json.loads(line[6:])["text_output"])
    assert len(pieces) > 5, "a stream comes in pieces"
    assert "".join(pieces) == whole.json()["text_output"]


def test_every_replica_gives_the_same_tokens(client: httpx.Client, status: Status) -> None:
    chat = endpoint(status(), "chat")
    url = f"https://{chat['address']}/v2/models/chat/generate"
    body = {"text_input": QUESTION, "sampling_parameters": GREEDY, "return_token_ids": True}
    tokens: dict[str, tuple[int, ...]] = {}
    for _ in range(12):
        answer = client.post(url, json=body).raise_for_status()
        assert answer.headers["permafrost-checkpoint"] == chat["live_checkpoint"]
        tokens[answer.headers["permafrost-replica"]] = tuple(answer.json()["token_ids"])
    assert set(tokens) == {r["name"] for r in chat["replicas"]}
    assert len(set(tokens.values())) == 1, tokens


def test_without_the_sites_ca_nobody_gets_in(status: Status) -> None:
    address = endpoint(status(), "chat")["address"]
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://{address}/v2/health/ready")


@pytest.mark.parametrize(
    "path", ["/v2/repository/index", "/v2/systemsharedmemory/status", "/v2/trace/setting"]
)
def test_administrative_calls_are_denied(client: httpx.Client, status: Status, path: str) -> None:
    address = endpoint(status(), "chat")["address"]
    assert client.post(f"https://{address}{path}", json={}).status_code in (403, 404, 405)


@pytest.fixture
def grpc_client(status: Status, ca_file: Path) -> triton.InferenceServerClient:
    address = endpoint(status(), "chat")["address"]
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    return triton.InferenceServerClient(address, ssl=True, creds=credentials)


def test_grpc_health_metadata_and_config(grpc_client: triton.InferenceServerClient) -> None:
    assert grpc_client.is_server_live()
    assert grpc_client.is_server_ready()
    assert grpc_client.is_model_ready("chat")
    metadata = grpc_client.get_model_metadata("chat", as_json=True)
    assert {i["name"] for i in metadata["inputs"]} >= {
        "text_input", "stream", "sampling_parameters", "exclude_input_in_output"
    }  # fmt: skip
    assert "text_output" in {o["name"] for o in metadata["outputs"]}
    config = grpc_client.get_model_config("chat", as_json=True)["config"]
    assert config["model_transaction_policy"]["decoupled"]


def tensor(name: str, value: Any, kind: str) -> triton.InferInput:
    made = triton.InferInput(name, [1], kind)
    dtype = {"BYTES": np.object_, "BOOL": np.bool_}[kind]
    made.set_data_from_numpy(np.array([value], dtype=dtype))
    return made


def test_grpc_streaming_gives_the_tokens_of_http(
    grpc_client: triton.InferenceServerClient, client: httpx.Client, status: Status
) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    grpc_client.start_stream(callback=lambda result, error: answers.put(error or result))
    grpc_client.async_stream_infer(
        "chat",
        [
            tensor("text_input", QUESTION.encode(), "BYTES"),
            tensor("stream", True, "BOOL"),
            tensor("sampling_parameters", GREEDY.encode(), "BYTES"),
        ],
        enable_empty_final_response=True,
    )
    text = ""
    while True:
        answer = answers.get(timeout=60)
        assert not isinstance(answer, Exception), answer
        output = answer.as_numpy("text_output")
        text += "" if output is None else b"".join(output.flatten().tolist()).decode()
        final = answer.get_response().parameters.get("triton_final_response")
        if final is not None and final.bool_param:
            break
    grpc_client.stop_stream()
    url = f"https://{endpoint(status(), 'chat')['address']}/v2/models/chat/generate"
    body = {"text_input": QUESTION, "sampling_parameters": GREEDY}
    assert text == client.post(url, json=body).raise_for_status().json()["text_output"]


def test_tritonclient_over_http_works_unchanged(status: Status, ca_file: Path) -> None:
    address = endpoint(status(), "chat")["address"]
    stock = triton_http.InferenceServerClient(
        address, ssl=True, ssl_options={"ca_certs": str(ca_file)}
    )
    assert stock.is_server_ready()
    assert stock.get_model_config("chat")["model_transaction_policy"]["decoupled"]
