"""A stream that stays open goes on over reloads of the edge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.stream import LASTS_S
from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_a_long_open_stream_outlives_two_reloads(tmp_path: Path) -> None:
    seen = run("stream", tmp_path, timeout_s=300)
    assert seen["error"] == ""
    assert seen["sent"] == seen["answers"] >= 10, seen
    assert seen["different"] == 1, "the same question, the same answer"
    assert seen["lasted_s"] >= LASTS_S


def test_control_an_edge_that_is_started_anew_cuts_it(tmp_path: Path) -> None:
    seen = run("stream-abrupt", tmp_path, timeout_s=300)
    assert seen["error"] != ""
    assert seen["lasted_s"] < LASTS_S
