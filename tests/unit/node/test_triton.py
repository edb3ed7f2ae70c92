"""What is read from Triton's answers."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from permafrost.node import baselines
from permafrost.node.errors import NodeError
from permafrost.node.settings import SlotPorts
from permafrost.node.triton import Load, Triton, TritonError

METRICS = """\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests
nv_inference_pending_request_count{model="chat",version="1"} 2
nv_inference_pending_request_count{model="other",version="1"} 7
"""


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answers by path; what was sent is kept under ``sent``."""
    answers: dict[str, Any] = {}

    def call(
        _: Triton, port: int, method: str, path: str, deadline_s: float, body: Any = None
    ) -> bytes:
        answers["sent"] = (port, method, path, body)
        value = answers[path]
        return value if isinstance(value, bytes) else json.dumps(value).encode()

    monkeypatch.setattr(Triton, "_call", call)
    return answers


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    return tmp_path / "counters"


@pytest.fixture
def triton(counters: Path) -> Triton:
    return Triton(SlotPorts(8000, 8002), "chat", counters)


def test_load_counts_this_model_alone(
    answered: dict[str, Any], triton: Triton, counters: Path
) -> None:
    counters.write_bytes(struct.pack("<qq", 3, 1280))
    answered["/metrics"] = METRICS.encode()
    assert triton.load() == Load(pending=2, executing=3, tokens=1280)
    assert answered["sent"][0] == 8002
    answered["/metrics"] = b""
    counters.unlink()
    assert triton.load() == Load(0, 0, 0)


def test_counters_of_another_shape_are_not_guessed_at(
    answered: dict[str, Any], triton: Triton, counters: Path
) -> None:
    answered["/metrics"] = b""
    counters.write_bytes(b"short")
    with pytest.raises(TritonError):
        triton.load()


def test_a_backend_lives_as_long_as_it_holds_its_lock(triton: Triton, counters: Path) -> None:
    assert not triton.backend_has_ended(), "one that counts nothing tells nothing"
    hold = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.flock(f, 2); print(flush=True)"
    counters.write_bytes(struct.pack("<qq", 0, 7))
    argv = [sys.executable, "-c", f"{hold}; input()", str(counters)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as backend:
        assert backend.stdout is not None
        backend.stdout.readline()
        assert not triton.backend_has_ended()
        assert triton.tokens() == 7
        backend.kill()
        backend.wait(10)
        assert triton.backend_has_ended()


def test_one_token_comes_as_a_scalar(answered: dict[str, Any], triton: Triton) -> None:
    path = "/v2/models/chat/generate"
    answered[path] = {"token_ids": 7}
    assert triton.generate("x", {"max_tokens": 1}, 1.0) == (7,)
    answered[path] = {"token_ids": [7, 8]}
    assert triton.generate("x", {"max_tokens": 2}, 1.0) == (7, 8)
    assert answered["sent"][3] == {
        "text_input": "x",
        "sampling_parameters": '{"max_tokens": 2}',
        "return_token_ids": True,
    }


def test_vllms_tokens_are_the_likeliest_ones(answered: dict[str, Any], counters: Path) -> None:
    """vLLM's backend gives no ids: its log-probabilities are asked for, and name them."""
    triton = Triton(SlotPorts(8000, 8002), "chat", counters, gives_ids=False)
    at = {
        "50": {"logprob": -1.5, "rank": 2, "decoded_token": "b"},
        "7": {"logprob": -0.1, "rank": 1, "decoded_token": "a"},
    }
    other = {"9": {"logprob": -0.2, "rank": 1, "decoded_token": "c"}}
    path = "/v2/models/chat/generate"
    answered[path] = {"text_output": "ac", "logprobs": json.dumps([at, other])}
    assert triton.generate("x", {"max_tokens": 2}, 1.0) == (7, 9)
    sent = answered["sent"][3]
    assert sent["return_logprobs"] is True
    assert "return_token_ids" not in sent
    asked = json.loads(sent["sampling_parameters"])
    assert asked == {"temperature": 0, "max_tokens": 2, "logprobs": 1}
    assert triton.answer("x", {}, 1.0, top_k=2).top_logprobs[0] == ((7, -0.1), (50, -1.5))
    for nothing in ("null", "", "[{}]"):
        answered[path] = {"text_output": "ac", "logprobs": nothing}
        with pytest.raises(TritonError, match="no token is known"):
            triton.generate("x", {"max_tokens": 2}, 1.0)


def test_the_digest_is_taken_from_the_loaded_configuration(
    answered: dict[str, Any], triton: Triton
) -> None:
    answered["/v2/models/chat/config"] = {"parameters": {"checkpoint": {"string_value": "sha"}}}
    assert triton.checkpoint() == "sha"
    answered["/v2/models/chat/config"] = {"parameters": {}}
    assert triton.checkpoint() == ""


def test_a_fingerprint_must_be_of_the_pin_and_long_enough(tmp_path: Any) -> None:
    pinned = "sha256:" + "a" * 64
    path = tmp_path / "fingerprint.json"
    probe = {"id": "p", "text_input": "x", "sampling_parameters": {}, "token_ids": [1], "text": ""}

    def write(checkpoint: str, count: int) -> None:
        path.write_text(json.dumps({"checkpoint": checkpoint, "probes": [probe] * count}))

    write(pinned, 2)
    assert [p.token_ids for p in baselines.load(path, pinned)] == [(1,), (1,)]
    write("sha256:" + "b" * 64, 2)
    with pytest.raises(NodeError, match="FINGERPRINT_OF_ANOTHER"):
        baselines.load(path, pinned)
    write(pinned, 1)
    with pytest.raises(NodeError, match="FINGERPRINT_INVALID"):
        baselines.load(path, pinned)
    path.write_text("[]")
    with pytest.raises(NodeError, match="FINGERPRINT_INVALID"):
        baselines.load(path, pinned)
    path.unlink()
    with pytest.raises(NodeError, match="FINGERPRINT_MISSING"):
        baselines.load(path, pinned)
