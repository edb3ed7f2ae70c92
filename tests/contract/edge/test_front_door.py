"""What the rendered configurations do, with a real HAProxy, before they are on any machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(name: str, folder: Path, timeout_s: float = 180) -> dict[str, Any]:
    """Run a scenario in a network namespace of its own."""
    command = ["unshare", "--net", sys.executable, "-m", "tests.contract.edge.scenario", name]
    done = subprocess.run(
        [*command, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run("door", tmp_path_factory.mktemp("door"))


def test_each_answer_names_replica_checkpoint_and_request(door: dict[str, Any]) -> None:
    for name in ("plain", "by the common address", "40 KB", "long header"):
        answer = door[name]
        assert answer["status"] == 200, name
        assert answer["headers"]["permafrost-replica"] in door["nodes"]
        assert answer["headers"]["permafrost-checkpoint"] == "sha256:" + "1" * 64
        assert re.fullmatch(r"[0-9a-f-]{36}", answer["headers"]["x-request-id"])
        assert "x-request-id" in answer["headers"]["seen"], "the id goes on to the server"


def test_a_plain_id_is_kept_and_another_one_is_replaced(door: dict[str, Any]) -> None:
    assert door["id kept"]["headers"]["x-request-id"] == "order-66"
    replaced = door["id replaced"]["headers"]["x-request-id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", replaced)


def test_a_pin_is_served_by_its_checkpoint_or_by_nobody(door: dict[str, Any]) -> None:
    assert door["pin loaded"]["status"] == 200
    assert door["pin not loaded"]["status"] == 409
    assert "sha256:" + "1" * 64 in json.loads(door["pin not loaded"]["body"])["error"]


def test_what_no_context_holds_is_refused_with_a_reason(door: dict[str, Any]) -> None:
    assert door["too large"]["status"] == 413
    assert "4096 tokens" in json.loads(door["too large"]["body"])["error"]
    assert door["header too long"]["status"] == 431
    assert "8192 bytes" in json.loads(door["header too long"]["body"])["error"]


def test_keys_are_taken_until_they_end_and_go_no_further_than_the_edge(
    door: dict[str, Any],
) -> None:
    for name in ("key good", "key later", "key good again"):
        assert door[name]["status"] == 200, name
        assert "authorization" not in door[name]["headers"]["seen"]
    for name in ("key ended", "key wrong", "key otherwise"):
        assert door[name]["status"] == 401, name
        assert door[name]["headers"]["www-authenticate"] == "Bearer"
    assert door["wrong keys"] == [401]


def test_a_share_goes_to_the_other_slot_and_pins_stay_where_they_belong(tmp_path: Path) -> None:
    seen = run("share", tmp_path)
    old, new = (f"200 sha256:{c * 64}" for c in "12")
    assert set(seen["free"]) == {old, new}
    assert 50 <= seen["free"][new] <= 130, "of 300, three in ten: 90, deviation 8"
    assert seen["pinned"] == {old[4:]: {old: 30}, new[4:]: {new: 30}}


def test_a_share_for_a_slot_that_nobody_has_up_stays_where_it_was(tmp_path: Path) -> None:
    seen = run("share-b", tmp_path)
    assert seen["free"] == {f"200 sha256:{'1' * 64}": 300}


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A node lost without a word, once with our settings and once with HAProxy's own."""
    return {name: run(name, tmp_path_factory.mktemp(name)) for name in ("ours", "plain")}


def test_a_node_lost_without_a_word_costs_no_request(loss: dict[str, dict[str, Any]]) -> None:
    """New ones wait at most for a connection; what was under way is done by another node.

    Only an answer that had begun in that moment cannot be asked for again.
    """
    seen = loss["ours"]
    assert seen["new"] >= 80
    assert seen["new_failed"] == 0, seen
    assert seen["answered_by_lost"] == 0
    assert seen["under_way_failed"] <= 1, seen


def test_control_with_haproxys_own_checks_clients_fail_or_wait_for_longer(
    loss: dict[str, dict[str, Any]],
) -> None:
    ours, plain = loss["ours"], loss["plain"]
    failed = plain["new_failed"] + plain["under_way_failed"]
    assert failed > 1 or plain["new_slowest_s"] > 3 * ours["new_slowest_s"], loss


def test_an_owners_certificates_serve_from_the_client_to_the_node(tmp_path: Path) -> None:
    """The edge shows its own, trusts nodes by the owner's authority; others are told apart."""
    assert run("owners", tmp_path) == {
        "known": "answered",
        "by another name": "ENDPOINT_UNREACHABLE",
        "by another's certificate": "ENDPOINT_UNREACHABLE",
        "by the root": "answered",
    }
