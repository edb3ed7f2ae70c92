"""The llama.cpp backend's half that speaks to Triton, over an engine that is written down here."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.unit.backends.conftest import Request, Sender


class EngineError(Exception):
    pass


class Cancelled(Exception):  # noqa: N818 - the engine's name
    pass


@dataclass(frozen=True)
class Piece:
    text: str
    tokens: int
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[tuple[tuple[int, float, str], ...], ...] = ()


LIKELY = (((5, -0.1, "Par"), (9, -2.5, "Lon")),)
PIECES = (Piece("Par", 1, (5,)), Piece("is 🎉", 3, (6, 7, 8)), Piece("", 1, (2,)))


class FakeEngine:
    """Answers each prompt with the same pieces; notes what it was asked."""

    made: FakeEngine

    def __init__(self, checkpoint: Any, context_tokens: int) -> None:
        type(self).made = self
        self.context_tokens = context_tokens
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()
        self.busy = 0
        self.most_at_once = 0

    def chat_prompt(self, text: str) -> str:
        return f"<user>{text}<assistant>"

    def whole(self, prompt: str, sampling: dict[str, Any], cancelled: Callable[[], bool]) -> Piece:
        pieces = list(self.stream(prompt, sampling, cancelled, ids=True))
        return Piece(
            "".join(p.text for p in pieces),
            sum(p.tokens for p in pieces),
            tuple(i for p in pieces for i in p.token_ids),
            LIKELY,
        )

    def stream(
        self, prompt: str, sampling: dict[str, Any], cancelled: Callable[[], bool], *, ids: bool
    ) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        self.began.set()
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        try:
            if "too long" in prompt:
                raise EngineError("the prompt has 9 tokens, the context holds 8")
            if "broken" in prompt:
                raise RuntimeError("secret prompt text")
            for piece in PIECES:
                while not self.go.wait(0.01):
                    if cancelled():
                        raise Cancelled
                yield piece
        finally:
            self.busy -= 1


@pytest.fixture
def model(
    load_backend: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    engine = SimpleNamespace(
        Engine=FakeEngine, EngineError=EngineError, Cancelled=Cancelled, Piece=Piece
    )
    monkeypatch.setitem(sys.modules, "engine", engine)
    made = load_backend("llamacpp").TritonPythonModel()
    parameters = {"max_context_tokens": {"string_value": "2048"}}
    made.initialize({"model_config": json.dumps({"name": "chat", "parameters": parameters})})
    yield made
    FakeEngine.made.go.set()
    made.finalize()


def ask(model: Any, **inputs: Any) -> Sender:
    if "sampling" in inputs:
        inputs["sampling_parameters"] = json.dumps(inputs.pop("sampling"))
    request = Request(**inputs)
    model.execute([request])
    return request.sender


def test_whole_and_stream_say_the_same(model: Any, metrics: dict[str, float]) -> None:
    whole = ask(model, text_input="hi", return_token_ids=True).wait()
    stream = ask(model, text_input="hi", stream=True, return_token_ids=True).wait()
    assert whole.texts == ["Paris 🎉"]
    assert "".join(stream.texts) == "Paris 🎉"
    assert whole.ids == stream.ids == [5, 6, 7, 8, 2]
    model.finalize()
    assert metrics == {"permafrost_in_flight": 0, "permafrost_tokens_total": 10}


def test_a_stream_has_no_empty_pieces_and_no_ids_unless_asked(model: Any) -> None:
    stream = ask(model, text_input="hi", stream=True).wait()
    assert stream.texts == ["Par", "is 🎉"]
    assert stream.ids == []


def test_the_template_is_the_checkpoints_unless_the_prompt_is_raw(model: Any) -> None:
    ask(model, text_input="hi").wait()
    ask(model, text_input="hi", raw_prompt=True).wait()
    assert [p for p, _ in FakeEngine.made.asked] == ["<user>hi<assistant>", "hi"]
    assert FakeEngine.made.context_tokens == 2048


def test_greedy_with_a_fixed_seed_unless_asked(model: Any) -> None:
    ask(model, text_input="hi").wait()
    sampling = {"max_tokens": "9", "temperature": 0.5, "seed": 3, "stop": "x", "top_k": 2}
    ask(model, text_input="hi", sampling=sampling).wait()
    assert [s for _, s in FakeEngine.made.asked] == [
        {"n_predict": 64, "temperature": 0.0, "seed": 0},
        {"n_predict": 9, "temperature": 0.5, "seed": 3, "stop": ["x"], "top_k": 2},
    ]


def test_one_request_at_a_time_and_execute_returns_at_once(
    model: Any, metrics: dict[str, float]
) -> None:
    engine = FakeEngine.made
    engine.go.clear()
    senders = [ask(model, text_input=f"{i}", stream=True) for i in range(5)]
    assert metrics["permafrost_in_flight"] == 5
    engine.go.set()
    for sender in senders:
        sender.wait()
    assert engine.most_at_once == 1
    assert [p for p, _ in engine.asked] == [f"<user>{i}<assistant>" for i in range(5)]


def test_a_client_that_went_away_frees_the_engine(model: Any, metrics: dict[str, float]) -> None:
    engine = FakeEngine.made
    engine.go.clear()
    running = ask(model, text_input="a", stream=True)
    waiting = ask(model, text_input="b", stream=True)
    assert engine.began.wait(10)
    running.gone = waiting.gone = True
    running.wait()
    waiting.wait()
    engine.go.set()
    after = ask(model, text_input="c", stream=True).wait()
    assert (running.texts, waiting.texts, len(after.texts)) == ([], [], 2)
    assert [p for p, _ in engine.asked] == ["<user>a<assistant>", "<user>c<assistant>"]
    model.finalize()
    assert metrics["permafrost_in_flight"] == 0


def test_the_engines_refusal_reaches_the_client(model: Any) -> None:
    assert "the context holds 8" in ask(model, text_input="too long").wait().error
    assert "the context holds 8" in ask(model, text_input="too long", stream=True).wait().error


def test_a_failure_tells_no_prompt_and_the_next_request_is_answered(model: Any) -> None:
    failed = ask(model, text_input="broken").wait()
    assert failed.error == "generation failed: RuntimeError"
    assert ask(model, text_input="hi").wait().texts == ["Paris 🎉"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "text_input is missing"),
        ({"text_input": "x", "sampling": {"foo": 1}}, "foo is not known"),
        ({"text_input": "x", "sampling": {"max_tokens": 0}}, "at least 1"),
        ({"text_input": "x", "sampling": {"seed": "often"}}, "invalid literal"),
        ({"text_input": "x", "sampling": 3}, "not a JSON object"),
        ({"text_input": "x", "stream": True, "exclude_input_in_output": False}, "whole answers"),
    ],
)
def test_a_bad_request_is_refused_by_name(
    model: Any, metrics: dict[str, float], inputs: dict[str, Any], words: str
) -> None:
    assert words in ask(model, **inputs).wait().error
    assert metrics["permafrost_in_flight"] == 0
    assert FakeEngine.made.asked == []


def test_the_prompt_is_echoed_only_when_asked(model: Any) -> None:
    assert ask(model, text_input="Q", exclude_input_in_output=False).wait().texts == ["QParis 🎉"]
    assert ask(model, text_input="Q", exclude_input_in_output=True).wait().texts == ["Paris 🎉"]


def test_log_probabilities_come_on_request_in_the_form_of_the_vllm_backend(model: Any) -> None:
    asked = {"logprobs": 2}
    answer = ask(model, text_input="hi", return_logprobs=True, sampling=asked).wait()
    assert FakeEngine.made.asked[-1][1]["n_probs"] == 2
    ((_, values),) = answer.answers
    assert json.loads(values["logprobs"][0]) == [
        {
            "5": {"logprob": -0.1, "rank": 1, "decoded_token": "Par"},
            "9": {"logprob": -2.5, "rank": 2, "decoded_token": "Lon"},
        }
    ]
    silent = ask(model, text_input="hi", sampling=asked).wait()
    assert "logprobs" not in silent.answers[0][1]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"sampling": {"logprobs": 21}}, "logprobs must be 0 to 20"),
        ({"return_logprobs": True, "stream": True}, "whole answers only"),
    ],
)
def test_log_probabilities_that_cannot_be_had_are_refused(
    model: Any, inputs: dict[str, Any], why: str
) -> None:
    assert why in ask(model, text_input="hi", **inputs).wait().error
