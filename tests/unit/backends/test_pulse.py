"""``pulse``: the frozen function, given out on time, all at once."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lab.checkpoints import pulse as recorded
from tests.unit.backends.conftest import Request, Sender

WEIGHTS = b"frozen weights"


@pytest.fixture
def model(load_backend: Callable[[str], ModuleType], tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "pulse.weights").write_bytes(WEIGHTS)
    made = load_backend("pulse").TritonPythonModel()
    parameters = {"checkpoint_path": {"string_value": str(tmp_path)}}
    made.initialize({"model_config": json.dumps({"name": "pulse", "parameters": parameters})})
    yield made
    made.finalize()


def ask(model: Any, **inputs: Any) -> Sender:
    sampling = inputs.pop("sampling", {})
    request = Request(sampling_parameters=json.dumps(sampling), **inputs)
    model.execute([request])
    return request.sender


def expected(prompt: str, count: int) -> list[int]:
    key = hashlib.sha256(WEIGHTS).digest()
    messages = (prompt.encode() + b"\0" + i.to_bytes(8, "big") for i in range(count))
    return [int.from_bytes(hmac.digest(key, m, "sha256")[:2], "big") for m in messages]


def test_tokens_are_the_function_of_weights_and_prompt(model: Any) -> None:
    sender = ask(
        model,
        text_input="größe",
        return_token_ids=True,
        sampling={"max_tokens": 5, "interval_ms": 1},
    ).wait()
    assert sender.ids == expected("größe", 5) == recorded.token_ids(WEIGHTS, "größe", 5)
    assert sender.texts == ["".join(f" {i:04x}" for i in sender.ids)]


def test_a_stream_joined_is_the_whole_answer(model: Any) -> None:
    sampling = {"max_tokens": 6, "interval_ms": 2}
    whole = ask(model, text_input="p", sampling=sampling).wait()
    stream = ask(model, text_input="p", stream=True, return_token_ids=True, sampling=sampling)
    stream.wait()
    assert len(stream.texts) == 6
    assert "".join(stream.texts) == whole.texts[0]
    assert stream.ids == expected("p", 6)
    assert whole.ids == []


def test_no_token_is_early(model: Any) -> None:
    start = time.monotonic()
    stream = ask(
        model, text_input="p", stream=True, sampling={"max_tokens": 4, "interval_ms": 30}
    ).wait()
    whole = ask(model, text_input="p", sampling={"max_tokens": 2, "interval_ms": 30}).wait()
    for place, (at, _) in enumerate(stream.answers, start=1):
        assert at - start >= place * 0.03
    assert whole.answers[0][0] - start >= 0.06


def test_many_at_once_wait_together(model: Any, metrics: dict[str, float]) -> None:
    start = time.monotonic()
    senders = [
        ask(
            model,
            text_input=f"prompt {i}",
            stream=i % 2 == 0,
            return_token_ids=True,
            sampling={"max_tokens": 5, "interval_ms": 40},
        )
        for i in range(300)
    ]
    assert metrics["permafrost_in_flight"] == 300
    for i, sender in enumerate(senders):
        assert sender.wait().ids == expected(f"prompt {i}", 5)
    assert time.monotonic() - start < 300 * 0.2 / 10, "one after the other would take a minute"
    model.finalize()
    assert metrics == {"permafrost_in_flight": 0, "permafrost_tokens_total": 1500}


def test_a_client_that_went_away_is_let_go(
    load_backend: Callable[[str], ModuleType],
    model: Any,
    metrics: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(type(model).initialize.__globals__, "CANCEL_POLL_S", 0.02)
    sender = ask(model, text_input="p", sampling={"max_tokens": 100, "interval_ms": 1000})
    sender.gone = True
    sender.wait()
    assert sender.answers == []
    model.finalize()
    assert metrics["permafrost_in_flight"] == 0


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "text_input is missing"),
        ({"text_input": "p", "sampling": {"top_p": 1}}, "top_p is not known"),
        ({"text_input": "p", "sampling": {"max_tokens": 0}}, "max_tokens must be"),
        ({"text_input": "p", "sampling": {"interval_ms": -1}}, "interval_ms must be"),
        ({"text_input": "p", "sampling": []}, "not a JSON object"),
        ({"text_input": "p", "stream": True, "exclude_input_in_output": False}, "whole answers"),
    ],
)
def test_a_bad_request_is_refused_by_name(
    model: Any, metrics: dict[str, float], inputs: dict[str, Any], words: str
) -> None:
    sender = ask(model, **inputs).wait()
    assert words in sender.error
    assert metrics["permafrost_in_flight"] == 0


def test_the_prompt_is_part_of_the_answer_only_when_asked(model: Any) -> None:
    sampling = {"max_tokens": 1, "interval_ms": 1}
    plain = ask(model, text_input="p", exclude_input_in_output=True, sampling=sampling).wait()
    echoed = ask(model, text_input="p", exclude_input_in_output=False, sampling=sampling).wait()
    assert echoed.texts == ["p" + plain.texts[0]]


def test_one_flipped_bit_of_the_weights_changes_the_tokens(
    load_backend: Callable[[str], ModuleType],
) -> None:
    module = load_backend("pulse")
    flipped = bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]
    tokens = [module.Pulse(w).token("p", i) for w in (WEIGHTS, flipped) for i in range(4)]
    assert tokens[:4] != tokens[4:]
