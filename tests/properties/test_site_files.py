"""Spoilt site files by the thousand: one clear list of problems each, or good; no traceback.

The many run in soak (tests/soak/test_spoilt_sites.py); these are its sample.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fakes.memory import tmp_path
from tests.fakes.refusing import refusal
from tests.fakes.site import write_site
from tests.fakes.sites import SITES, as_yaml, spoilt_documents, spoilt_texts

__all__ = ["tmp_path"]

SAMPLE = settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path)


@pytest.mark.thorough
@SAMPLE
@given(values=spoilt_documents())
def test_spoilt_documents(site: Path, values: dict[str, Any]) -> None:
    site.write_text(as_yaml(values), encoding="utf-8")
    refusal(site)


@pytest.mark.thorough
@SAMPLE
@given(data=spoilt_texts())
def test_spoilt_texts(site: Path, data: bytes) -> None:
    site.write_bytes(data)
    refusal(site)


@pytest.mark.thorough
def test_most_spoilt_documents_are_refused(site: Path) -> None:
    """The control: what is generated is bad indeed, and what is not spoilt is good."""
    refused = 0

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(values=spoilt_documents())
    def count(values: dict[str, Any]) -> None:
        nonlocal refused
        site.write_text(as_yaml(values), encoding="utf-8")
        refused += bool(refusal(site))

    count()
    assert refused > 100
    assert not refusal(write_site(site.parent))
    assert SITES.joinpath("lab.yaml").exists()
