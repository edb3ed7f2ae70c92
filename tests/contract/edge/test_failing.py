"""A Triton that hangs, dies or loses its backend is out within two seconds, and costs nothing new.

Who restarts a Triton whose backend died is systemd, which is not here: a request that it had in
that moment ends with it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.failing import LIMIT_S
from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("kind", ["hang", "kill", "backend"])
def test_it_is_out_within_two_seconds(kind: str, tmp_path: Path) -> None:
    seen = run(f"failing-{kind}", tmp_path, timeout_s=300)
    assert seen["asked_it_before"] >= 3, "the control: it was in rotation"
    assert seen["out_after_s"] is not None
    assert seen["out_after_s"] <= LIMIT_S
    assert seen["after"] >= 40
    assert (seen["lost_after"], seen["answered_by_it_after"]) == (0, 0), seen
    if kind != "backend":
        assert seen["lost"] == [], "what was under way is had elsewhere, or comes back"
