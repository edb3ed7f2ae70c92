"""Who does not fit is told to come again; who was let in is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_more_than_fits_is_told_to_come_again_and_the_rest_is_answered(tmp_path: Path) -> None:
    """What waits longer than ten seconds is told so too: four rounds of 48 fit into them."""
    seen = run("overload", tmp_path)
    assert set(seen["statuses"]) == {"200", "429"}, seen
    assert seen["statuses"]["200"] >= 144, seen
    assert seen["statuses"]["429"] >= 320 - 240, seen
    assert seen["retry_after"] == ["1"]
    assert seen["calm"] == {"200": 10}, "the control: as many as fit are not refused"
