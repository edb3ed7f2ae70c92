"""How much and how long: a thousand clients, more than the replicas take, prompts of every size,
errors in gRPC, and a conversation that goes on at another replica.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, traffic, wait_until
from tests.acceptance.edges import Status
from tests.acceptance.history import LOSSLESS, losses

pytestmark = pytest.mark.soak
Note = Callable[[str, object], None]
BURST = 160
ONE = json.dumps({"max_tokens": 1, "temperature": 0})


def url_of(status: Status, name: str) -> str:
    """Return where an endpoint generates."""
    return f"https://{endpoint(status(), name)['address']}/v2/models/{name}/generate"


def test_a_thousand_clients_at_once(
    lab: Cli, status: Status, tmp_path: Path, record_property: Note
) -> None:
    """Each on a connection of its own; answers of 24 s, half of them streamed."""
    slow = ("--interval-ms", "1500", "--max-tokens", "16", "--fresh", "--timeout-s", "90")
    with traffic(lab, "pulse", 46, 36, 0.5, tmp_path / "load.jsonl", *slow) as load:
        summary = load.finish()
    record_property("peak_in_flight", summary["peak_in_flight"])
    record_property("requests", summary["requests"])
    record_property("total_ms", summary["total_ms"])
    assert losses(summary) == LOSSLESS, summary
    assert summary["outcomes"]["refused"] == 0
    assert summary["peak_in_flight"] >= 1000
    assert len(summary["replicas"]) == 3


def test_more_than_fits_is_told_to_come_again_and_the_rest_is_answered(
    status: Status, ca_file: Path, client: httpx.Client, record_property: Note
) -> None:
    url = url_of(status, "chat")
    body = {"text_input": "One word?", "sampling_parameters": ONE}

    async def burst() -> list[httpx.Response]:
        context = ssl.create_default_context(cafile=str(ca_file))
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(verify=context, timeout=120, limits=limits) as asked:
            return await asyncio.gather(*(asked.post(url, json=body) for _ in range(BURST)))

    answers = asyncio.run(burst())
    found = Counter(a.status_code for a in answers)
    record_property("statuses", dict(found))
    assert set(found) == {200, 429}, found
    assert found[429] >= 1
    assert found[200] >= 40, "of what the replicas take and what may wait, 76 in all"
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert "busy" in answer.json()["error"]
    assert len({a.json()["text_output"] for a in answers if a.status_code == 200}) == 1
    calm = [client.post(url, json=body).status_code for _ in range(6)]
    assert calm == [200] * 6, "the control: as many as fit are not refused"


def test_prompts_up_to_the_context_limit_and_not_beyond(
    client: httpx.Client, status: Status, record_property: Note
) -> None:
    """A prompt is answered whole or refused with a reason; the border is one word wide."""
    url = url_of(status, "chat")

    def ask(words: int) -> httpx.Response:
        body = {"text_input": "word " * words, "sampling_parameters": ONE}
        return client.post(url, json={**body, "return_token_ids": True})

    fits, too_long = 400, 4000  # 2 KB and 20 KB
    assert ask(fits).status_code == 200
    assert ask(too_long).status_code == 400
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        answer = ask(middle)
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 200:
            assert isinstance(answer.json()["token_ids"], int)
            fits = middle
        else:
            assert "context" in answer.json()["error"]
            too_long = middle
    record_property("words_that_fit", fits)
    assert 1900 <= fits <= 2048
    assert ask(8000).status_code == 400, "40 KB"


@pytest.fixture
def stub(status: Status, ca_file: Path) -> Iterator[Any]:
    """The stock gRPC service of pulse at the clients' address."""
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    address = endpoint(status(), "pulse")["address"]
    with grpc.secure_channel(address, credentials) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def asked(model: str, text: str, sampling: str) -> Any:
    """Return a request over gRPC that wants its end marked."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in (("text_input", text), ("sampling_parameters", sampling)):
        tensor = message.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(value.encode())
    tensor = message.inputs.add(name="stream", datatype="BOOL", shape=[1])
    tensor.contents.bool_contents.append(True)
    return message


def in_flight(status: Status) -> int:
    """Return how many requests pulse works on."""
    return sum(r["in_flight"] for r in endpoint(status(), "pulse")["replicas"])


def test_errors_in_grpc_are_grpcs_own(stub: Any, status: Status) -> None:
    unknown = stub.ModelStreamInfer(iter([asked("nobody", "x", ONE)]), timeout=30)
    told = [message.error_message for message in unknown]
    assert len(told) == 1
    assert "nobody" in told[0]
    wrong = list(stub.ModelStreamInfer(iter([asked("pulse", "x", "no JSON")]), timeout=30))
    assert "bad request" in wrong[0].error_message
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelReady(service_pb2.ModelReadyRequest(name="pulse", version="x"), timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as denied:
        stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=30)
    assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
    slow = json.dumps({"max_tokens": 600, "interval_ms": 1000})
    call = stub.ModelStreamInfer(iter([asked("pulse", "slow", slow)]), timeout=3)
    with pytest.raises(grpc.RpcError) as late:
        list(call)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until("what nobody waits for is given up", lambda: in_flight(status) == 0, 20)


def test_conversations_go_on_at_other_replicas_with_the_same_tokens(
    permafrost: Cli, lab: Cli, tmp_path: Path, record_property: Note
) -> None:
    """Each turn carries what was said; each answer is known beforehand, whoever gives it."""
    talk = ("--interval-ms", "100", "--max-tokens", "8", "--conversations", "10", "--turns", "6")
    with traffic(lab, "pulse", 1, 60, 0.5, tmp_path / "talks.jsonl", *talk) as load:
        load.await_steady()
        for name in ("lab-pulse-01", "lab-pulse-02"):
            permafrost.run("drain", name, "--yes")
            permafrost.run("undrain", name, "--yes")
        summary = load.finish()
    record_property("conversations", summary["conversations"])
    assert losses(summary) == LOSSLESS, summary
    held = summary["conversations"]
    assert held["with_a_lost_turn"] == 0
    assert held["on_more_than_one_replica"] >= 20


def test_a_real_conversation_goes_on_at_another_replica(
    permafrost: Cli, client: httpx.Client, status: Status
) -> None:
    url = url_of(status, "chat")
    few = json.dumps({"max_tokens": 16, "temperature": 0})

    def ask(text: str) -> tuple[str, str, list[int]]:
        body = {"text_input": text, "sampling_parameters": few, "return_token_ids": True}
        answer = client.post(url, json=body).raise_for_status()
        told = answer.json()
        return answer.headers["permafrost-replica"], told["text_output"], told["token_ids"]

    first, said, _ = ask("Name a river.")
    transcript = f"user: Name a river.\nassistant: {said}\nuser: Where is it?"
    permafrost.run("drain", first, "--yes")
    try:
        second, _, tokens = ask(transcript)
        assert second != first
        assert ask(transcript.replace("river", "metal"))[2] != tokens, "the control: it matters"
    finally:
        permafrost.run("undrain", first, "--yes")
    found = {}
    for _ in range(12):
        replica, _, again = ask(transcript)
        found[replica] = again
    assert len(found) == 3
    assert all(again == tokens for again in found.values())
