"""Changes of an edge that clients must not notice, with a real HAProxy and our configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_reloads_and_another_certificate_cost_nothing(tmp_path: Path) -> None:
    seen = run("changes", tmp_path)
    assert seen["statuses"] == {"200": seen["requests"]}, seen
    assert seen["requests"] >= 100
    assert seen["certificates"] == 2, "what is shown is another one"


def test_a_reload_closes_no_connection_on_which_a_client_may_be_sending(tmp_path: Path) -> None:
    """A client whose connection waits sends just then: it is answered, and told to come anew."""
    seen = run("waiting", tmp_path)
    assert seen["before"] == seen["after"] == {"200": 20}, seen
    assert seen["said_to_be_the_last"] == 20


def test_control_without_it_whoever_sends_just_then_loses_the_request(tmp_path: Path) -> None:
    seen = run("waiting-forgetful", tmp_path)
    assert seen["before"] == {"200": 20}, seen
    assert seen["after"] == {"0": 20}, seen


def test_what_still_comes_to_the_old_worker_is_decided_by_the_next(tmp_path: Path) -> None:
    """It no longer asks who is well; a replica whose gate has closed since answers nobody."""
    assert run("waiting-sick", tmp_path)["after"] == {"503": 20}


def test_control_an_old_worker_that_decides_for_itself_asks_who_is_not_well(
    tmp_path: Path,
) -> None:
    assert run("waiting-sick-alone", tmp_path)["after"] == {"200": 20}


def test_a_request_half_sent_at_a_reload_is_the_old_workers_to_the_end(tmp_path: Path) -> None:
    """Its key is checked and taken out by then: the next worker would ask for it again."""
    assert run("half-sent", tmp_path) == {"status": 200, "without": 403}


def test_control_an_edge_that_is_started_anew_costs_requests(tmp_path: Path) -> None:
    seen = run("changes-abrupt", tmp_path)
    assert seen["statuses"].get("0", 0) >= 3, seen


def test_a_thousand_wrong_keys_are_refused_while_a_right_one_goes_on(tmp_path: Path) -> None:
    seen = run("wrong-keys", tmp_path)
    assert seen["refused"] == {"401": 1000}, seen
    assert set(seen["statuses"]) == {"200"}, seen
