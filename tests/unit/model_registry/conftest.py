"""These tests write many small files and commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_registry.catalogue.store import Catalogue
from model_registry.registry import Registry
from tests.fakes.memory import tmp_path
from tests.unit.model_registry.clock import Ticking

__all__ = ["tmp_path"]


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def catalogue(tmp_path: Path, clock: Ticking) -> Catalogue:
    return Catalogue(tmp_path / "catalogue.db", who="ada", now=clock)


@pytest.fixture
def registry(tmp_path: Path, clock: Ticking) -> Registry:
    return Registry.open(tmp_path / "models", who="ada", create=True, now=clock)
