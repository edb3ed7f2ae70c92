"""How alike two behaviours are: a pure function with a first difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_registry.errors import RegistryRefused
from model_registry.fingerprint.comparison import BOUND_NAT, MEAN_BOUND_NAT, Grade, compare
from model_registry.fingerprint.document import (
    Answered,
    Asked,
    Fingerprint,
    ServingClass,
)

OURS = ServingClass("sha256:" + "a" * 64, "Q4_1", "L40S", "570.1", "1", (("backend", "vllm"),))
OTHERS = replace(OURS, driver="580.2")
CHECKPOINT = "sha256:" + "c" * 64
TOP = ((5, -0.2), (7, -2.0), (9, -3.0))


def answered(
    tokens: tuple[int, ...],
    tops: tuple[tuple[tuple[int, float], ...], ...] = (),
    name: str = "one",
) -> Answered:
    asked = Asked(name, f"what is {name}?", {"max_tokens": 8, "temperature": 0, "seed": 0})
    return Answered(asked, tokens, tops)


def fingerprint(*answers: Answered, of: ServingClass = OURS) -> Fingerprint:
    return Fingerprint(CHECKPOINT, answers, of)


def moved(top: tuple[tuple[int, float], ...], nat: float) -> tuple[tuple[int, float], ...]:
    return tuple((token, logprob - nat) for token, logprob in top)


BASE = fingerprint(answered((5, 5, 5), (TOP, TOP, TOP)), answered((5, 5), (TOP, TOP), "two"))


def test_the_same_answers_are_identical() -> None:
    found = compare(BASE, BASE)
    assert (found.grade, found.same_class, found.difference) == (Grade.IDENTICAL, True, None)
    assert (found.compared, found.positions, found.mean_off_nat) == (5, 5, 0.0)


def test_one_other_token_of_one_class_is_different_and_named() -> None:
    seen = fingerprint(BASE.answers[0], answered((5, 7), (TOP, TOP), "two"))
    found = compare(BASE, seen)
    assert found.grade is Grade.DIFFERENT
    assert found.difference is not None
    assert (found.difference.prompt, found.difference.position) == ("two", 1)
    assert (found.difference.expected, found.difference.seen) == (5, 7)
    assert str(found.difference).startswith("prompt two, position 1: expected token 5, seen 7")


def test_the_same_tokens_with_other_probabilities_are_different_in_one_class() -> None:
    shifted = tuple(moved(TOP, 0.001) for _ in range(3))
    found = compare(BASE, fingerprint(answered((5, 5, 5), shifted), BASE.answers[1]))
    assert found.grade is Grade.DIFFERENT
    assert found.difference is not None
    assert found.difference.position == 0


@pytest.mark.parametrize(
    ("nat", "grade"),
    [
        (MEAN_BOUND_NAT * 0.8, Grade.EQUIVALENT),
        (MEAN_BOUND_NAT * 2, Grade.DIFFERENT),
    ],
)
def test_another_class_may_be_off_within_the_mean_bound(nat: float, grade: Grade) -> None:
    shifted = moved(TOP, nat)
    seen = fingerprint(
        answered((5, 5, 5), (shifted,) * 3), answered((5, 5), (shifted,) * 2, "two"), of=OTHERS
    )
    found = compare(BASE, seen)
    assert (found.grade, found.same_class) == (grade, False)
    assert ("on average" in found.why) == (grade is Grade.DIFFERENT)


def test_no_single_position_may_be_far_off() -> None:
    far = moved(TOP, BOUND_NAT * 3)
    many = fingerprint(answered((5,) * 90, (TOP,) * 90), of=OURS)
    seen = fingerprint(answered((5,) * 90, (*(TOP,) * 80, far, *(TOP,) * 9)), of=OTHERS)
    found = compare(many, seen)
    assert found.mean_off_nat is not None
    assert found.mean_off_nat < MEAN_BOUND_NAT
    assert found.grade is Grade.DIFFERENT
    assert found.difference is not None
    assert found.difference.position == 80


TIE = ((5, -0.9), (7, -0.95), (9, -3.0))
TURNED = ((7, -0.9), (5, -0.95), (9, -3.0))


def test_a_tie_may_fall_either_way_in_another_class_and_ends_the_comparison() -> None:
    base = fingerprint(answered((5, 5, 5, 1), (TOP, TOP, TIE, TOP)))
    seen = fingerprint(answered((5, 5, 7, 2), (TOP, TOP, TURNED, moved(TOP, 9))), of=OTHERS)
    found = compare(base, seen)
    assert (found.grade, found.compared) == (Grade.EQUIVALENT, 2)
    assert compare(base, replace(seen, serving_class=OURS)).grade is Grade.DIFFERENT


def test_a_sure_token_may_not_fall_otherwise() -> None:
    base = fingerprint(answered((5, 5, 5, 1), (TOP, TOP, TOP, TOP)))
    seen = fingerprint(answered((5, 5, 7, 1), (TOP, TOP, TOP, TOP)), of=OTHERS)
    assert compare(base, seen).grade is Grade.DIFFERENT


def test_too_early_a_fork_leaves_too_little_to_compare() -> None:
    base = fingerprint(answered((5,) * 6, (TIE, *(TOP,) * 5)))
    seen = fingerprint(answered((7,) * 6, (TURNED, *(TOP,) * 5)), of=OTHERS)
    found = compare(base, seen)
    assert found.grade is Grade.DIFFERENT
    assert "0 of 6 positions" in found.why


def test_by_tokens_alone_another_class_is_identical_or_different() -> None:
    base = fingerprint(answered((5, 6, 7)))
    same = fingerprint(answered((5, 6, 7)), of=OTHERS)
    assert compare(base, same).grade is Grade.IDENTICAL
    assert compare(base, fingerprint(answered((5, 6, 8)), of=OTHERS)).grade is Grade.DIFFERENT


@pytest.mark.parametrize("tokens", [(5, 6), (5, 6, 7, 8), ()])
def test_an_answer_of_another_length_is_different(tokens: tuple[int, ...]) -> None:
    found = compare(fingerprint(answered((5, 6, 7))), fingerprint(answered(tokens)))
    assert found.grade is Grade.DIFFERENT
    assert found.difference is not None
    assert found.difference.position == min(len(tokens), 3)
    assert None in (found.difference.expected, found.difference.seen) or not tokens


def test_nothing_recorded_is_never_identical() -> None:
    assert compare(fingerprint(answered(())), fingerprint(answered(()))).grade is Grade.DIFFERENT


def test_other_probe_sets_are_not_compared() -> None:
    with pytest.raises(RegistryRefused, match="PROBE_SETS_DIFFER"):
        compare(BASE, fingerprint(BASE.answers[0]))


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.data(),
)
def test_any_one_changed_token_is_found_where_it_is(
    tokens: list[int], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(tokens) - 1))
    other = list(tokens)
    other[place] = (other[place] + data.draw(st.integers(1, 9))) % 10
    found = compare(fingerprint(answered(tuple(tokens))), fingerprint(answered(tuple(other))))
    assert found.grade is Grade.DIFFERENT
    assert found.difference is not None
    assert found.difference.position == place
