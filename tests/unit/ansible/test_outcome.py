"""What Ansible said becomes what a person reads."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.ansible.converger import result_of
from permafrost.adapters.ansible.events import HIDDEN, Collector, message_of
from permafrost.errors import Failed
from permafrost.topology import Node, Tier

NODE = Node("lab-chat-01", Tier.INFERENCE, IPv4Address("10.0.0.21"), "chat")


def _event(kind: str, task: str = "Run Triton", **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"role": "triton", "task": task, **data}}


def _outcome(*events: dict[str, Any], **more: Any) -> dict[str, Any]:
    collector = Collector()
    for event in events:
        assert collector.take(event)
    return {"status": "successful", "rc": 0, "tail": "", **collector.as_dict(), **more}


def test_changed_tasks_are_named_and_counted() -> None:
    outcome = _outcome(
        _event("runner_on_ok", res={"changed": True}),
        _event("runner_on_ok", task="Look for the image", res={"changed": False}),
        _event("playbook_on_stats", changed={"lab-chat-01": 1}, ok={"lab-chat-01": 2}),
    )
    result = result_of(NODE, outcome, Path("x"))
    assert (result.node, result.changed) == ("lab-chat-01", 1)
    assert result.changes == ("triton: Run Triton",)


def test_a_failed_task_is_named_with_what_it_said() -> None:
    failed = _event("runner_on_failed", res={"msg": "non-zero return code", "stderr": "no bytes"})
    with pytest.raises(Failed) as failure:
        result_of(NODE, _outcome(failed, status="failed", rc=2), Path("x"))
    problem = failure.value.problems[0]
    assert (problem.code, problem.path) == ("CONVERGE_FAILED", "lab-chat-01")
    assert problem.message == "triton: Run Triton: non-zero return code / no bytes"


def test_a_failure_that_the_play_expects_is_none() -> None:
    outcome = _outcome(_event("runner_on_failed", res={"msg": "no"}, ignore_errors=True))
    assert result_of(NODE, outcome, Path("x")).changed == 0


def test_a_node_that_does_not_answer_has_a_code_of_its_own() -> None:
    silent = _event("runner_on_unreachable", res={"msg": "Connection timed out"})
    with pytest.raises(Failed) as failure:
        result_of(NODE, _outcome(silent, status="failed", rc=4), Path("x"))
    assert failure.value.code == "CONVERGE_UNREACHABLE"
    assert "10.0.0.21" in str(failure.value)


@pytest.mark.parametrize(
    ("status", "rc", "tail", "word"),
    [
        ("timeout", 254, "", "within"),
        ("failed", 4, "ERROR! no such role", "no such role"),
        ("canceled", 254, "", "canceled"),
    ],
)
def test_a_run_that_did_not_end_well_never_counts_as_done(
    status: str, rc: int, tail: str, word: str
) -> None:
    with pytest.raises(Failed, match=word) as failure:
        result_of(NODE, _outcome(status=status, rc=rc, tail=tail), Path("x"))
    assert failure.value.code == "CONVERGE_FAILED"


def test_what_is_censored_stays_so() -> None:
    assert message_of({"censored": "the output has been hidden", "msg": "s3cret"}) == HIDDEN


def test_the_item_that_failed_is_named() -> None:
    results = [{"item": "a", "changed": True}, {"item": "b", "failed": True, "msg": "disk full"}]
    assert message_of({"msg": "One or more items failed", "results": results}) == "b: disk full"


def test_a_long_message_keeps_its_end() -> None:
    message = message_of({"msg": "x" * 5000 + "the reason"})
    assert len(message) < 700
    assert message.endswith("the reason")
