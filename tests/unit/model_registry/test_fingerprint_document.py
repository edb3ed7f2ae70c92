"""The document of a fingerprint, its older form, probe sets, and what may be kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from model_registry.errors import RegistryError, RegistryRefused
from model_registry.fingerprint import probes
from model_registry.fingerprint.comparison import Grade
from model_registry.fingerprint.document import Fingerprint, ServingClass, read
from model_registry.fingerprint.keeping import Verb, baseline, judge, probes_for
from tests.unit.model_registry.test_fingerprint_comparison import (
    BASE,
    CHECKPOINT,
    OTHERS,
    OURS,
    TOP,
    answered,
    fingerprint,
    moved,
)

OLD = {
    "schema": 1,
    "checkpoint": CHECKPOINT,
    "engine": {"name": "xllamacpp", "version": "1"},
    "probes": [
        {"id": "a", "text_input": "hi", "sampling_parameters": {"max_tokens": 2}, "token_ids": [1]}
    ],
}


def test_a_fingerprint_is_its_document_and_back() -> None:
    assert read(json.dumps(BASE.as_dict()).encode()) == BASE


def test_schema_1_is_read_as_tokens_of_an_unknown_class() -> None:
    found = read(OLD)
    assert not found.serving_class.is_known
    assert not found.has_logprobs
    assert found.answers[0].token_ids == (1,)
    assert read(found.as_dict()) == found
    assert found.as_dict()["schema"] == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schema": 3}, "FINGERPRINT_SCHEMA_UNKNOWN"),
        ({"probes": [{"id": "a"}]}, "FINGERPRINT_INVALID"),
        ({"probes": None}, "FINGERPRINT_INVALID"),
        ({"checkpoint": "latest"}, "FINGERPRINT_INVALID"),
        ({"probe_set": "sha256:" + "0" * 64}, "FINGERPRINT_INVALID"),
        (
            {"probes": [{**OLD["probes"][0], "top_logprobs": [[[1, -0.1]], [[2, -0.1]]]}]},  # type: ignore[index,dict-item]
            "FINGERPRINT_INVALID",
        ),
    ],
)
def test_a_document_that_is_none_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(RegistryError, match=code):
        read({**OLD, **change})
    with pytest.raises(RegistryError, match="FINGERPRINT_INVALID"):
        read(b"[]")


def test_classes_name_what_differs() -> None:
    assert OURS.differences(OTHERS) == ("driver",)
    assert ServingClass().is_known is False


def test_the_default_set_is_valid_and_begins_short() -> None:
    found = probes.default()
    assert [a.sampling_parameters["max_tokens"] for a in found[:2]] == [8, 8]
    assert all(a.sampling_parameters["temperature"] == 0 for a in found)
    assert len({a.id for a in found}) == len(found) >= 10


def test_a_bad_probe_set_is_refused_with_all_that_is_wrong() -> None:
    bad = {
        "probes": [{"id": "x", "text_input": " ", "sampling_parameters": {"max_tokens": 0}}] * 2
    }
    with pytest.raises(RegistryError) as caught:
        probes.read_set(json.dumps(bad).encode())
    for part in ("probe x stands there twice", "max_tokens is 0", "probe x asks nothing"):
        assert part in caught.value.message
    with pytest.raises(RegistryError, match="PROBE_SET_INVALID"):
        probes.read_set(b'{"probes": [')


def test_a_sampled_probe_set_is_made_greedy() -> None:
    loose = {"probes": [{"id": i, "text_input": "hi", "sampling_parameters": {"temperature": 1}}
                        for i in "ab"]}  # fmt: skip
    for one in probes.read_set(json.dumps(loose).encode()):
        assert (one.sampling_parameters["temperature"], one.sampling_parameters["seed"]) == (0, 0)


def of_another(found: Fingerprint) -> Fingerprint:
    return replace(found, checkpoint="sha256:" + "d" * 64)


def test_a_set_that_shows_no_difference_to_the_parent_is_weak() -> None:
    shifted = moved(TOP, 0.01)
    near = fingerprint(answered((5, 5, 5), (shifted,) * 3), answered((5, 5), (TOP,) * 2, "two"))
    far = fingerprint(answered((5, 7, 5), (TOP,) * 3), answered((5, 5), (TOP,) * 2, "two"))
    other_set = fingerprint(answered((5,), (TOP,), "three"))
    found = probes.weaknesses(BASE, tuple(map(of_another, (BASE, near, far, other_set))))
    assert [w.grade for w in found] == [Grade.IDENTICAL, Grade.EQUIVALENT]
    assert probes.weaknesses(BASE, (BASE,)) == ()


SAME_IN_OTHERS = replace(BASE, serving_class=OTHERS)
ENGINE_ALONE = replace(BASE, serving_class=ServingClass())
WRONG = fingerprint(answered((9, 9, 9), (TOP,) * 3), BASE.answers[1])


def test_the_first_of_a_checkpoint_is_kept() -> None:
    judged = judge(Verb.RECORD, (), BASE)
    assert judged.keep
    assert judged.comparison is None
    assert judge(Verb.RECORD, (ENGINE_ALONE,), BASE).keep


def test_the_same_again_is_not_kept_twice() -> None:
    assert not judge(Verb.RECORD, (ENGINE_ALONE, BASE), BASE).keep
    assert not judge(Verb.REBASELINE, (SAME_IN_OTHERS, BASE), BASE).keep


def test_other_answers_never_replace_a_fingerprint() -> None:
    for verb in (Verb.RECORD, Verb.REBASELINE):
        with pytest.raises(RegistryError, match=r"FINGERPRINT_DIFFERENT.*position 0"):
            judge(verb, (BASE,), WRONG)
    with pytest.raises(RegistryError, match="FINGERPRINT_DIFFERENT"):
        judge(Verb.RECORD, (ENGINE_ALONE,), WRONG)
    with pytest.raises(RegistryError, match="FINGERPRINT_DIFFERENT"):
        judge(Verb.REBASELINE, (SAME_IN_OTHERS,), WRONG)


def test_a_new_class_is_rebaselined_not_recorded() -> None:
    with pytest.raises(RegistryRefused, match=r"FINGERPRINT_NEW_CLASS.*driver"):
        judge(Verb.RECORD, (BASE,), SAME_IN_OTHERS)
    judged = judge(Verb.REBASELINE, (BASE,), SAME_IN_OTHERS)
    assert judged.keep
    assert judged.against == OURS
    assert judged.comparison is not None
    assert not judged.comparison.same_class


def test_a_comparison_keeps_nothing_and_tells() -> None:
    judged = judge(Verb.COMPARE, (BASE,), WRONG)
    assert not judged.keep
    assert not judged.passes
    assert judge(Verb.COMPARE, (BASE,), BASE).passes


def test_an_unknown_class_is_not_kept() -> None:
    with pytest.raises(RegistryRefused, match="SERVING_CLASS_UNKNOWN"):
        judge(Verb.RECORD, (), ENGINE_ALONE)


def test_a_rebaseline_needs_a_class_before_it() -> None:
    with pytest.raises(RegistryRefused, match="FINGERPRINT_NONE_BEFORE"):
        probes_for(Verb.REBASELINE, (ENGINE_ALONE,), OTHERS, ())
    with pytest.raises(RegistryRefused, match="FINGERPRINT_MISSING"):
        probes_for(Verb.COMPARE, (), OTHERS, ())
    assert [a.id for a in probes_for(Verb.REBASELINE, (BASE,), OTHERS, ())] == ["one", "two"]
    assert probes_for(Verb.RECORD, (BASE,), OTHERS, probes.default()) == probes.default()


def test_the_own_class_comes_before_others_and_the_engine_alone_last() -> None:
    known = (BASE, ENGINE_ALONE, SAME_IN_OTHERS)
    assert baseline(known, OURS) == BASE
    assert baseline(known, OTHERS) == SAME_IN_OTHERS
    assert baseline(known, replace(OURS, gpu="H100")) == SAME_IN_OTHERS
    assert baseline((ENGINE_ALONE,), OURS) == ENGINE_ALONE
    assert baseline((), OURS) is None
