"""The lab's plugin answers what the real one was seen to answer."""

from __future__ import annotations

import pytest

from tests.contract.provider.cases import Case, load
from tests.contract.provider.exceptions import EXCEPTIONS, expected
from tests.contract.provider.replay import Bench, unexpected

# Of the quick cases a sample in ``make test``: what fits into a minute on two cores.
QUICK, SLOW = pytest.mark.exhaustive(40), pytest.mark.soak


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.id, marks=SLOW if c.slow else QUICK) for c in load()]
)
def test_answers_as_recorded(bench: Bench, case: Case) -> None:
    left, unneeded = unexpected(case, bench.replay(case))
    assert not left, "\n".join(str(d) for d in left)
    assert not unneeded, "\n".join(f"no exception needed: {e.reason}" for e in unneeded)


def test_every_exception_names_a_case() -> None:
    used = {e for case in load() for e in expected(case)}
    assert set(EXCEPTIONS) == used
