"""With a real Triton and a real model behind our edge and nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.edge.real import BROKEN
from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run("real", tmp_path_factory.mktemp("real"), timeout_s=580)


def test_a_prompt_is_answered_whole_or_refused_with_a_reason(real: dict[str, Any]) -> None:
    """The border is one token wide; a token of the context is left for the answer."""
    seen = real["prompts"]
    assert (seen["2 KB"], seen["40 KB"]) == (200, 400)
    assert "nothing was truncated" in seen["said"]
    assert seen["longest"] == {"status": 200, "tokens": seen["context"] - 1}
    assert len(seen["refused"]) == 2
    assert str(seen["context"]) in seen["refused"][-1]


def test_broken_bodies_are_their_senders_fault_and_nobody_elses(real: dict[str, Any]) -> None:
    """Another client meanwhile gets the tokens that it got before, each time."""
    seen = real["broken"]
    assert set(seen["statuses"]) <= {"200", "400", "413"}, seen
    assert seen["statuses"]["400"] >= BROKEN // 2
    assert set(seen["known"]) == {seen["first"]}, seen
    assert seen["lives"]
    assert seen["backend"]


def test_errors_in_grpc_are_grpcs_own(real: dict[str, Any]) -> None:
    seen = real["grpc"]
    assert seen["good"] == seen["after"] == [""], "the control: the same call without a fault"
    assert "nobody" in seen["unknown"][0]
    assert "bad request" in seen["wrong"][0]
    assert seen["version"] == "INVALID_ARGUMENT"
    assert seen["repository"] == "PERMISSION_DENIED"
    assert seen["late"] == "DEADLINE_EXCEEDED"
