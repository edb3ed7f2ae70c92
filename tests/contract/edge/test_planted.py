"""Another checkpoint, chat template or weight byte never answers a client: the gate sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.planted import ASKED
from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("kind", ["template", "checkpoint", "byte"])
def test_what_was_planted_never_answers_a_client(kind: str, tmp_path: Path) -> None:
    seen = run(f"planted-{kind}", tmp_path, timeout_s=400)
    assert seen["state"] == "OUT"
    assert "token" in seen["reason"], "the first difference is shown"
    assert seen["statuses"] == {"503": ASKED}
    assert seen["tokens"], "it would have answered"


def test_control_the_pinned_one_answers(tmp_path: Path) -> None:
    seen = run("planted-nothing", tmp_path, timeout_s=400)
    assert (seen["state"], seen["reason"]) == ("ADMITTED", "")
    assert seen["statuses"] == {"200": ASKED}
