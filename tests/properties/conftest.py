"""What the state machines are told by the run."""

from __future__ import annotations

import pytest


@pytest.fixture
def commit_seed(request: pytest.FixtureRequest) -> int:
    """The seed by which `make test` and `make soak` generate; 0 where none is given."""
    given = str(request.config.getoption("--hypothesis-seed"))
    return int(given) if given.isdigit() else 0
