"""What each answer carries, by HTTP and gRPC, and what is refused with a reason."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.acceptance import refusals
from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import wait_until
from tests.acceptance.written import JOURNAL, forget, write_down, written

Status = Callable[[], dict[str, Any]]
On = Callable[[str], Any]
Note = Callable[[str, object], None]
EDGES = ("lab-edge-01", "lab-edge-02")
OTHER = refusals.OTHER


def body(prompt: str, max_tokens: int = 4, interval_ms: int = 10) -> dict[str, Any]:
    """Return a request to pulse."""
    sampling = {"max_tokens": max_tokens, "interval_ms": interval_ms}
    return {"text_input": prompt, "sampling_parameters": json.dumps(sampling)}


@pytest.fixture
def pulse(status: Status) -> dict[str, Any]:
    return endpoint(status(), "pulse")


@pytest.fixture
def url(pulse: dict[str, Any]) -> str:
    return f"https://{pulse['address']}/v2/models/pulse/generate"


def test_a_request_id_comes_back_and_stands_in_the_edges_log_and_no_prompt_does(
    client: httpx.Client, url: str, on: On
) -> None:
    canary, name = "canary-4f1c9d2e", "request-7b0e2a"
    answer = client.post(url, json=body(canary), headers={"x-request-id": name})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == name
    text = answer.json()["text_output"]
    logs = {
        edge: on(edge).check_output("journalctl --boot --no-pager --output=cat") for edge in EDGES
    }
    replica = answer.headers["permafrost-replica"]
    logs[replica] = on(replica).check_output("journalctl --boot --no-pager --output=cat")
    assert any(name in logs[edge] for edge in EDGES), "which request it was can be found"
    for machine, log in logs.items():
        assert canary not in log, machine
        assert text.strip() not in log, machine


EXPECTED = {
    "too large": 413,
    "wrong key": 401,
    "pin of another": 409,
    "header too long": 431,
}
"""Of what is refused at chat; all else gets 400."""


@pytest.mark.soak
def test_what_is_refused_or_fails_is_written_nowhere(
    client: httpx.Client, status: Status, on: On, ca_file: Path, record_property: Note
) -> None:
    """The control: an id that is meant to be logged, and words written on purpose, are found."""
    seen = status()
    since, mark = time.time() - 1, secrets.token_hex(6)
    words, name, told = (f"{kind}-{mark}" for kind in ("canary", "request", "purpose"))
    client.headers["x-request-id"] = name
    said = {}
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    for model in ("chat", "pulse"):
        address = endpoint(seen, model)["address"]
        url = f"https://{address}/v2/models/{model}/generate"
        said[model] = refusals.by_http(client, url, words)
        with grpc.secure_channel(address, credentials) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            said[f"{model} by gRPC"] = refusals.by_grpc(stub, model, words)
    record_property("said", said)
    assert said["chat"] == {kind: EXPECTED.get(kind, 400) for kind in said["chat"]}
    assert not [s for s in said["pulse"].values() if s >= 500], said
    assert all(said[f"{model} by gRPC"].values() for model in ("chat", "pulse")), said

    replicas = {r["name"] for e in seen["endpoints"] for r in e["replicas"]}
    logs = {}
    for machine in sorted({*EDGES, *replicas}):
        try:
            write_down(on(machine), told)
            wait_until(
                f"what was written on {machine} is found",
                lambda m=machine: told in on(m).check_output(JOURNAL),
                20,
            )
            logs[machine] = written(on(machine), since)
        finally:
            forget(on(machine))
        assert logs[machine].count(told) >= 2, f"{machine}: journal and file"
    lines = [x for edge in EDGES for x in logs[edge].splitlines() if x.startswith("MESSAGE=")]
    logged = sum(name in line for line in lines)
    assert logged >= len(said["chat"]) + len(said["pulse"]), "each of them has its line"
    found = {m: [x for x in log.splitlines() if words in x][:5] for m, log in logs.items()}
    assert not any(found.values()), found


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "{}"])
def test_an_id_that_is_none_is_replaced(client: httpx.Client, url: str, given: str) -> None:
    answer = client.post(url, json=body("id"), headers={"x-request-id": given} if given else {})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


def test_a_pin_is_served_while_its_checkpoint_is_loaded(
    client: httpx.Client, url: str, pulse: dict[str, Any]
) -> None:
    live = pulse["live_checkpoint"]
    assert client.post(url, json=body("pin"), headers={"permafrost-checkpoint": live}).is_success
    answer = client.post(url, json=body("pin"), headers={"permafrost-checkpoint": OTHER})
    assert answer.status_code == 409
    assert live in answer.json()["error"]


def test_larger_than_any_context_is_refused_and_not_cut_off(
    client: httpx.Client, url: str
) -> None:
    answer = client.post(url, json=body("x" * 600_000))
    assert answer.status_code == 413
    assert "context" in answer.json()["error"]


def test_a_prompt_beyond_the_context_of_the_model_is_a_clear_4xx(
    client: httpx.Client, status: Status
) -> None:
    chat = endpoint(status(), "chat")
    answer = client.post(
        f"https://{chat['address']}/v2/models/chat/generate",
        json={"text_input": "one two three " * 2000},
    )
    assert 400 <= answer.status_code < 500
    assert "context" in answer.json()["error"]


def test_prompts_of_2_and_40_kilobytes_are_answered_whole(client: httpx.Client, url: str) -> None:
    for size in (2_000, 40_000):
        answer = client.post(url, json={**body("y" * size), "return_token_ids": True})
        assert answer.status_code == 200
        assert len(answer.json()["token_ids"]) == 4


@pytest.fixture
def stub(pulse: dict[str, Any], ca_file: Path) -> Iterator[Any]:
    """The stock gRPC service at the clients' address."""
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    with grpc.secure_channel(pulse["address"], credentials) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_grpc_carries_replica_checkpoint_and_request_as_metadata(
    stub: Any, pulse: dict[str, Any]
) -> None:
    asked = service_pb2.ModelReadyRequest(name="pulse")
    told = [("x-request-id", "grpc-1"), ("permafrost-checkpoint", pulse["live_checkpoint"])]
    answer, call = stub.ModelReady.with_call(asked, timeout=30, metadata=told)
    assert answer.ready
    seen = dict(call.initial_metadata())
    assert seen["permafrost-replica"] in {r["name"] for r in pulse["replicas"]}
    assert seen["permafrost-checkpoint"] == pulse["live_checkpoint"]
    assert seen["x-request-id"] == "grpc-1"


def test_a_pin_that_is_not_loaded_is_a_failed_precondition_in_grpc(stub: Any) -> None:
    asked = service_pb2.ModelReadyRequest(name="pulse")
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelReady(asked, timeout=30, metadata=[("permafrost-checkpoint", OTHER)])
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_a_key_that_nobody_has_is_refused(client: httpx.Client, url: str) -> None:
    answer = client.post(url, json=body("key"), headers={"authorization": "Bearer pf-nobody"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_edges_stand_on_two_hosts_and_clients_use_the_common_address(status: Status) -> None:
    found = status()
    assert {e["name"] for e in found["edges"]} == set(EDGES)
    assert len({e["host"] for e in found["edges"]}) == 2
    (holder,) = found["vip"]["holders"]
    assert holder in EDGES
    assert {e["address"].partition(":")[0] for e in found["endpoints"]} == {
        found["vip"]["address"]
    }
    assert found["vip"]["address"] not in {e["address"] for e in found["edges"]}
