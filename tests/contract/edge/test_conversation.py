"""Inference keeps no state: a conversation goes on elsewhere, with the same tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_a_conversation_goes_on_at_another_replica_with_the_same_tokens(tmp_path: Path) -> None:
    seen = run("conversation", tmp_path, timeout_s=300)
    assert seen["replicas"][0] not in seen["replicas"][1:], "that one was lost"
    assert seen["tokens"] == seen["of_one"] == seen["of_two"]
    assert seen["otherwise"] != seen["tokens"], "the control: what was said before matters"
