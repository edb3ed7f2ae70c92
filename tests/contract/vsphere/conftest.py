"""One vCenter a test: what a person changed there stays changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.vsphere.byhand import ByHand


@pytest.fixture(scope="session")
def vcenter_program() -> Path:
    """The lab vCenter's program: PERMAFROST_LABVCENTER, else the built part."""
    if given := os.environ.get("PERMAFROST_LABVCENTER"):
        return Path(given)
    from lab.build import parts

    return parts.path("vcenter") / "bin" / "labvcenter"


@pytest.fixture
def person(vcenter_program: Path, tmp_path: Path) -> Iterator[ByHand]:
    with ByHand(vcenter_program, tmp_path) as somebody:
        yield somebody
