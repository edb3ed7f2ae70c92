"""A stream that stays open goes on over reloads of the edge; for an hour: ``contract/hours``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.stream import SHORT
from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_a_long_open_stream_outlives_two_reloads(tmp_path: Path) -> None:
    seen = run("stream", tmp_path, timeout_s=300)
    assert seen["error"] == ""
    assert seen["sent"] == seen["answers"] >= 10, seen
    assert seen["different"] == 1, "the same question, the same answer"
    assert seen["lasted_s"] >= SHORT.lasts_s


@pytest.mark.parametrize("name", ["stream-abrupt", "stream-ended"])
def test_control_an_edge_or_an_old_worker_that_is_ended_cuts_it(name: str, tmp_path: Path) -> None:
    seen = run(name, tmp_path, timeout_s=300)
    assert seen["error"] != ""
    assert seen["lasted_s"] < SHORT.lasts_s
