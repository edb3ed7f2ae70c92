"""Broken requests cost no process, and no other request."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_broken_requests_touch_nobody(tmp_path: Path) -> None:
    seen = run("broken", tmp_path)
    assert seen["same_workers"], "no process of edge and nodes was lost"
    assert seen["statuses"] == {"200": seen["requests"]}, seen
    assert seen["requests"] >= 100
    assert seen["lines"].get("400", 0) >= 100, seen
    assert not {"500", "502", "503", "504"} & set(seen["lines"]), seen
