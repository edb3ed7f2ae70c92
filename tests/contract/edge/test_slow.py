"""Requests that never come in whole hold no replica's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_who_drips_holds_no_place_and_is_turned_away(tmp_path: Path) -> None:
    seen = run("slow", tmp_path)
    assert seen["statuses"] == [200] * 5, seen
    assert seen["said"] == ["HTTP/1.1 408 Request Time-out"], seen
    assert seen["turned_away"] >= 50


def test_control_an_edge_that_does_not_wait_has_no_place_left(tmp_path: Path) -> None:
    seen = run("slow-unlimited", tmp_path)
    assert seen["statuses"].count(200) < 5, seen
