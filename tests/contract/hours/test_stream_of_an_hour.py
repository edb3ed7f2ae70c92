"""A gRPC stream of an hour goes on over reloads of the edge.

No shard of ``make soak`` has an hour, so this is a family of its own (``lab/testrun/soak.py``):
``make soak SHARD=1/1 ONLY=tests/contract/hours``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.stream import HOUR
from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_a_stream_of_an_hour_outlives_its_reloads(tmp_path: Path) -> None:
    seen = run("stream-hour", tmp_path, timeout_s=HOUR.lasts_s + 600)
    assert seen["error"] == "", seen
    assert seen["sent"] == seen["answers"] >= HOUR.lasts_s / HOUR.every_s * 0.9, seen
    assert seen["different"] == 1, "the same question, the same answer"
    assert seen["lasted_s"] >= HOUR.lasts_s
