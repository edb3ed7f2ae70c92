"""A vCenter and a plugin for the contract's cases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.provider.cases import sample
from tests.contract.provider.replay import Bench

SAMPLE_SIZE = 40
"""What fits into a minute on two cores."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave a sample of the cases in a quick run; all of them are in a long one."""
    chosen = sample(SAMPLE_SIZE)
    for item in items:
        parameters = getattr(item, "callspec", None)
        case = parameters.params.get("case") if parameters else None
        if (
            case is not None
            and item.path.parent == Path(__file__).parent
            and case.id not in chosen
        ):
            item.add_marker(pytest.mark.soak)


@pytest.fixture(scope="session")
def vcenter_program() -> Path:
    """The lab vCenter's program: PERMAFROST_LABVCENTER, else the built part."""
    if given := os.environ.get("PERMAFROST_LABVCENTER"):
        return Path(given)
    from lab.build import parts

    return parts.path("vcenter") / "bin" / "labvcenter"


@pytest.fixture(scope="session")
def bench(vcenter_program: Path) -> Iterator[Bench]:
    """A vCenter and a plugin that all cases share."""
    with Bench(vcenter_program) as running:
        yield running
