"""A small site in memory where everything serves, and its context; a file may have others.

These tests write many small commits.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.runbook.context import Context
from tests.fakes.memory import tmp_path
from tests.fakes.site import context, small_site
from tests.fakes.world import World

__all__ = ["tmp_path"]


@pytest.fixture
def world() -> World:
    """The site with nothing changed."""
    return World.of(small_site())


@pytest.fixture
def ctx(tmp_path: Path, world: World) -> Context:
    """What a process that is started on it knows: no placement is recorded yet."""
    return context(tmp_path / "state", world)
