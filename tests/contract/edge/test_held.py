"""Idle gRPC streams do not hold a drain up, and nothing that is being answered is cut for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_idle_streams_are_ended_and_counted_and_the_one_that_is_answered_is_not(
    tmp_path: Path,
) -> None:
    seen = run("held", tmp_path, timeout_s=500)
    assert seen["planned"] == [3, 3], "the plan says how many streams clients hold open"
    assert seen["answers"] == 2, "one before, and the long one"
    assert seen["busy"] == "OK"
    assert seen["answer_took_s"] > 5, "no byte moved for longer than what is called idle"
    assert seen["idle"] == ["CANCELLED"] * 2
    drain = seen["drain"]
    assert (drain["state"], drain["idle_streams_ended"], drain["cut"]) == ("DRAINED", 2, 0)
    assert drain["waited_s"] > seen["answer_took_s"]


def test_control_by_the_edges_data_alone_the_one_that_is_answered_is_cut(tmp_path: Path) -> None:
    seen = run("held-blind", tmp_path, timeout_s=500)
    assert seen["busy"] == "CANCELLED"
    assert seen["answers"] == 1
    assert seen["drain"]["idle_streams_ended"] == 3


def test_at_the_deadline_nothing_is_cut_before_the_operator_asks_for_it(tmp_path: Path) -> None:
    seen = run("held-late", tmp_path, timeout_s=700)
    first, between, second = seen["first"], seen["between"], seen["second"]
    assert first["drain"]["code"] == "DRAIN_DEADLINE"
    assert "1 at the model server" in first["drain"]["message"]
    assert "3 of them streams that clients hold open" in first["drain"]["message"]
    assert (first["idle"], first["busy"], first["answers"]) == (["", ""], "", 1)
    assert (between["answers"], between["idle_answers"]) == (2, [2, 2]), "all of them go on"
    assert (second["drain"]["state"], second["drain"]["cut"]) == ("DRAINED", 3)
    assert (second["idle"], second["busy"]) == (["CANCELLED"] * 2, "CANCELLED")
    assert second["answers"] == 2


def test_a_stream_that_is_used_is_not_idle_and_those_beside_it_are(tmp_path: Path) -> None:
    seen = run("held-talking", tmp_path, timeout_s=500)
    first, second = seen["first"], seen["second"]
    assert first["drain"]["code"] == "DRAIN_DEADLINE"
    assert first["idle"] == ["CANCELLED"] * 2
    assert first["busy"] == ""
    assert second["answers"] == seen["asked"] >= 5, "each question has its answer"
    drain = second["drain"]
    assert (drain["state"], drain["idle_streams_ended"], drain["cut"]) == ("DRAINED", 1, 0)
