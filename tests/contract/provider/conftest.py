"""A vCenter and a plugin for the contract's cases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.provider.replay import Bench


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
