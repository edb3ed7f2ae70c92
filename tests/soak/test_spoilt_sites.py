"""The sample of tests/properties/test_site_files.py, fifty times as many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fakes.refusing import refusal
from tests.fakes.site import write_site
from tests.fakes.sites import as_yaml, spoilt_documents, spoilt_texts

MANY = settings(
    max_examples=25_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path)


@pytest.mark.soak
@MANY
@given(values=spoilt_documents())
def test_spoilt_documents(site: Path, values: dict[str, Any]) -> None:
    site.write_text(as_yaml(values), encoding="utf-8")
    refusal(site)


@pytest.mark.soak
@MANY
@given(data=spoilt_texts())
def test_spoilt_texts(site: Path, data: bytes) -> None:
    site.write_bytes(data)
    refusal(site)
