"""The lab's plugin answers what the real one was seen to answer."""

from __future__ import annotations

import pytest

from tests.contract.provider.cases import Case, load, sample, seed
from tests.contract.provider.exceptions import EXCEPTIONS, expected
from tests.contract.provider.replay import Bench, unexpected


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_answers_as_recorded(bench: Bench, case: Case) -> None:
    left, unneeded = unexpected(case, bench.replay(case))
    assert not left, "\n".join(str(d) for d in left)
    assert not unneeded, "\n".join(f"no exception needed: {e.reason}" for e in unneeded)


def test_every_exception_names_a_case() -> None:
    used = {e for case in load() for e in expected(case)}
    assert set(EXCEPTIONS) == used


def test_another_seed_takes_other_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERMAFROST_SAMPLE", "one")
    first = sample(40)
    monkeypatch.setenv("PERMAFROST_SAMPLE", "two")
    assert seed() == "two"
    assert first != sample(40)
    assert len(first) == 40
