"""Answers that are recorded were had alone; a node chooses the fingerprint of its class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permafrost.node import fingerprint, serving_class, settings
from permafrost.node.errors import NodeError
from permafrost.node.recording import answer_all, read_request
from permafrost.node.store import ModelStore
from permafrost.node.triton import Answer, Load, Triton, TritonError
from tests.unit.node.conftest import sha256

PINNED = "sha256:" + "a" * 64
ASKED = [
    {"id": i, "text_input": i, "sampling_parameters": {"max_tokens": 3, "temperature": 0}}
    for i in ("one", "two")
]


class Engine:
    """Gives three tokens to each prompt; ``others`` are given meanwhile to somebody else."""

    def __init__(self) -> None:
        self.tokens, self.others, self.flight, self.digest = 100, 0, 0, PINNED
        self.asked: list[tuple[str, int]] = []

    def checkpoint(self) -> str:
        return self.digest

    def load(self) -> Load:
        return Load(0, self.flight, self.tokens)

    def answer(self, text: str, sampling: dict[str, Any], deadline_s: float, top_k: int) -> Answer:
        if text == "broken":
            raise TritonError("Triton did not answer in time")
        self.asked.append((text, top_k))
        self.tokens += 3 + self.others
        return Answer((1, 2, 3), (((1, -0.1),),) * 3)


def test_every_prompt_is_answered_once_in_order() -> None:
    engine = Engine()
    loaded, answers = answer_all(engine, ASKED, 5)
    assert loaded == PINNED
    assert engine.asked == [("one", 5), ("two", 5)]
    assert [a["token_ids"] for a in answers] == [[1, 2, 3]] * 2
    assert answers[0]["top_logprobs"] == [[[1, -0.1]]] * 3
    assert answers[0]["text_input"] == "one"


def test_company_ends_it() -> None:
    busy = Engine()
    busy.flight = 1
    with pytest.raises(NodeError, match=r"PROBE_NOT_QUIET.*1 requests are in flight"):
        answer_all(busy, ASKED, 5)
    assert busy.asked == []
    shared = Engine()
    shared.others = 2
    with pytest.raises(NodeError, match="2 tokens were given to somebody else"):
        answer_all(shared, ASKED, 5)
    assert len(shared.asked) == 1


def test_ones_own_request_that_is_still_counted_for_a_moment_is_no_company() -> None:
    engine = Engine()
    real = engine.answer

    def answer(*given: Any) -> Answer:
        engine.flight = 1
        return real(*given)

    engine.answer = answer  # type: ignore[method-assign]
    _, answers = answer_all(engine, ASKED, 5, lambda _: setattr(engine, "flight", 0))
    assert len(answers) == 2
    pauses: list[float] = []
    with pytest.raises(NodeError, match="PROBE_NOT_QUIET"):
        answer_all(engine, ASKED, 5, pauses.append)
    assert 1 < sum(pauses) < 10


def test_a_silent_or_other_engine_ends_it() -> None:
    with pytest.raises(NodeError, match="PROBE_UNANSWERED"):
        answer_all(Engine(), [{**ASKED[0], "text_input": "broken"}], 5)
    engine = Engine()
    real = engine.answer

    def swap(*given: Any) -> Answer:
        engine.digest = "sha256:" + "b" * 64
        return real(*given)

    engine.answer = swap  # type: ignore[method-assign]
    with pytest.raises(NodeError, match="CHECKPOINT_CHANGED"):
        answer_all(engine, ASKED, 5)


def test_what_is_asked_is_made_greedy_and_checked() -> None:
    loose = {"id": "x", "text_input": "y", "sampling_parameters": {"temperature": 2, "seed": 9}}
    (probe,), top_k = read_request(json.dumps({"probes": [loose], "top_k": 3}).encode())
    assert probe["sampling_parameters"] == {"temperature": 0, "seed": 0}
    assert top_k == 3
    for bad in (b"", b"[]", b'{"probes": []}', b'{"probes": [{"id": 1}]}'):
        with pytest.raises(NodeError, match="PROBE_SET_INVALID"):
            read_request(bad)


def document(**more: Any) -> bytes:
    return json.dumps({"schema": 2, "checkpoint": PINNED, "probes": [], **more}).encode()


OURS, OTHERS = {"gpu": "A"}, {"gpu": "B"}


@pytest.mark.parametrize(
    ("newest_first", "chosen"),
    [
        ([{"serving_class": OTHERS}, {"serving_class": OURS, "n": 2}, {"serving_class": OURS}], 1),
        ([{"serving_class": OTHERS}, {"serving_class": None}, {"serving_class": None, "n": 1}], 1),
        ([{"serving_class": OTHERS}, {"schema": 1}], 1),
        ([{"serving_class": OTHERS}, {"serving_class": {"gpu": "C"}}], 0),
    ],
)
def test_a_node_meets_its_own_class_else_the_engine_alone(
    newest_first: list[dict[str, Any]], chosen: int
) -> None:
    documents = [document(**more) for more in newest_first]
    assert fingerprint.choose(documents, PINNED, OURS) == documents[chosen]


def test_a_node_meets_nothing_of_another_checkpoint() -> None:
    with pytest.raises(NodeError, match="FINGERPRINT_OF_ANOTHER"):
        fingerprint.choose([document()], "sha256:" + "b" * 64, OURS)
    with pytest.raises(NodeError, match="FINGERPRINT_MISSING"):
        fingerprint.choose([], PINNED, OURS)


def test_the_class_is_told_seen_and_read(node_json: Callable[..., Path], tmp_path: Path) -> None:
    config = json.dumps({"config": {"quantization": "Q4_1"}}).encode()
    manifest = json.dumps({"config": {"digest": sha256(config)}, "layers": []}).encode()
    told = {"engine_image": "sha256:" + "1" * 64, "parallelism": 2, "batch": {"b": 1, "a": "x"}}
    found = settings.load(node_json(serving=told, checkpoint=sha256(manifest)))
    store = ModelStore(found.models_dir)
    store.create()
    for content in (config, manifest):
        store.keep_bytes(content, sha256(content))
    nvidia, cpu = tmp_path / "nvidia", tmp_path / "cpuinfo"
    cpu.write_text("processor : 0\nmodel name\t: Some CPU\n")
    assert serving_class.observed(found, nvidia=nvidia, cpu=cpu) == {
        "engine_image": "sha256:" + "1" * 64,
        "precision": "Q4_1",
        "gpu": "none; Some CPU",
        "driver": "none",
        "parallelism": "2",
        "batch": {"a": "x", "b": "1"},
    }
    card = nvidia / "gpus" / "0000:3b:00.0" / "information"
    card.parent.mkdir(parents=True)
    card.write_text("Model: \t\t NVIDIA L40S\nIRQ: 5\n")
    (nvidia / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1\n")
    seen = serving_class.observed(found, nvidia=nvidia, cpu=cpu)
    assert (seen["gpu"], seen["driver"]) == ("NVIDIA L40S", "570.1")


@pytest.mark.parametrize(
    ("line", "driver"),
    [
        # As read on an H200; the end of the line says who built the module.
        (
            "NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (nixbld@)",
            "580.159.04, open kernel module",
        ),
        (
            "NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (root@gpu-07)",
            "580.159.04, open kernel module",
        ),
        (
            "NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023",
            "535.54.03",
        ),
        ("a driver of another kind", "a driver of another kind"),
    ],
)
def test_a_driver_is_its_release_and_flavour_wherever_it_was_built(line: str, driver: str) -> None:
    assert serving_class._driver(f"NVRM version: {line}\nGCC version: 12\n") == driver


def test_log_probabilities_are_read_in_the_order_of_their_rank(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    likely = [{"9": {"logprob": -2.0, "rank": 2}, "5": {"logprob": -0.1, "rank": 1}}]
    sent: list[Any] = []

    def call(_: Triton, port: int, method: str, path: str, s: float, body: Any = None) -> bytes:
        sent.append(body)
        return json.dumps({"token_ids": 5, "logprobs": json.dumps(likely)}).encode()

    monkeypatch.setattr(Triton, "_call", call)
    triton = Triton(settings.SlotPorts(1, 2), "chat", tmp_path / "counters")
    found = triton.answer("hi", {"max_tokens": 1}, 1.0, 2)
    assert found == Answer((5,), (((5, -0.1), (9, -2.0)),))
    assert sent[0]["return_logprobs"] is True
    assert json.loads(sent[0]["sampling_parameters"]) == {"max_tokens": 1, "logprobs": 2}
