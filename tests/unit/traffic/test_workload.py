"""Answers of a language model of which two versions may answer, each held to its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.traffic.outcome import Answer, judge
from lab.traffic.record import Outcome
from lab.traffic.source import fingerprint
from lab.traffic.workload import FingerprintWorkload

OLD, NEW = "sha256:old", "sha256:new"


def probe(question: str, *tokens: int, most: int = 24) -> dict[str, object]:
    sampling = {"max_tokens": most, "temperature": 0, "seed": 0}
    return {"text_input": question, "sampling_parameters": sampling, "token_ids": list(tokens)}


WORK = FingerprintWorkload(
    [probe("fruits", 1, 2), probe("bees", 3)], {NEW: [probe("bees", 4), probe("fruits", 5, 6)]}
)


@pytest.mark.parametrize(
    ("by", "tokens", "outcome"),
    [
        (OLD, (1, 2), Outcome.OK),
        (NEW, (5, 6), Outcome.OK),
        (OLD, (5, 6), Outcome.WRONG),
        (NEW, (1, 2), Outcome.WRONG),
        (NEW, (4,), Outcome.WRONG),
        ("sha256:third", (1, 2), Outcome.WRONG),
        (NEW, (5,), Outcome.CUT),
    ],
)
def test_an_answer_is_held_to_the_version_that_it_names(
    by: str, tokens: tuple[int, ...], outcome: Outcome
) -> None:
    pinned, expected = WORK.ask(0).judged_by(by, OLD)
    assert judge(Answer(200, tokens, by), expected, pinned) is outcome


def test_a_question_that_the_other_version_was_never_asked_is_named() -> None:
    other = [probe("fruits", 5, 6), probe("bees", 4, most=8)]
    assert FingerprintWorkload(WORK.probes, {NEW: other}).unknown() == ["bees"]
    assert WORK.unknown() == []


def test_a_layout_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="LAYOUT_UNREADABLE"):
        fingerprint(tmp_path, NEW)
