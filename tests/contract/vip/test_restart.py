"""HAProxy is restarted on the edge with the clients' address: real HAProxy, keepalived, kernel."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.vip.clients import KEPT, RATE

pytestmark = pytest.mark.soak
ROOT = Path(__file__).resolve().parents[3]
NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
STREAMS = 3


def run(name: str, folder: Path) -> dict[str, Any]:
    """Run a scenario in namespaces of its own, which end with it."""
    for server in ("haproxy", "keepalived"):
        if shutil.which(server) is None:
            pytest.fail(f"this suite needs {server}: scripts/bootstrap.sh installs it")
    folder.chmod(0o755)  # keepalived asks as nobody
    command = [*NAMESPACES, sys.executable, "-m", "tests.contract.vip.scenario", name, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_restart_of_the_edge_with_the_address_loses_nothing(tmp_path: Path) -> None:
    """Whoever comes, stays, is just connecting, or reads a stream; there, back, and again."""
    seen = run("restart", tmp_path)
    assert seen["lost"] == {}, seen
    assert seen["moved"] == [True] * 3
    assert seen["asked"]["stream"] == seen["asked"]["slow"] == 3 * STREAMS
    assert seen["asked"]["new"] >= 60
    assert seen["asked"]["kept"] >= 60
    assert all('"left": 0' in said for said in seen["said"]), seen


def test_control_an_address_that_moves_at_once_cuts_what_is_under_way(tmp_path: Path) -> None:
    seen = run("at-once", tmp_path)
    assert seen["lost"]["stream"] == seen["lost"]["slow"] == STREAMS, seen
    assert seen["lost"].get("new", 0) + seen["lost"].get("kept", 0) >= 3, seen
    assert seen["moved"] == [True]


def test_a_stream_that_lasts_longer_is_cut_and_counted_and_nothing_else_is(tmp_path: Path) -> None:
    seen = run("impatient", tmp_path)
    assert seen["lost"].get("stream") == STREAMS, seen
    assert seen["lost"].get("new", 0) == 0, seen
    left = re.search(r'"left": (\d+)', seen["said"][0])
    assert left is not None, seen
    # Those whose handshake took so long as well; beside them whoever had just asked or come.
    assert 2 * STREAMS <= int(left[1]) <= 2 * STREAMS + KEPT + RATE, seen


def test_without_another_edge_that_answers_it_comes_back_and_serves(tmp_path: Path) -> None:
    seen = run("alone", tmp_path)
    assert "no other edge answers" in seen["said"]
    assert seen["lost_after"] == 0


def test_an_edge_that_takes_no_packets_to_the_address_is_found_out(tmp_path: Path) -> None:
    """One of an earlier release: whoever it does not answer is answered here, 3 s late."""
    seen = run("deaf", tmp_path)
    assert "does not answer them" in seen["said"], seen
    assert seen["late"] <= 10, seen
    assert seen["moved"]


def test_control_clients_wait_for_an_edge_that_is_trusted_to_answer(tmp_path: Path) -> None:
    seen = run("deaf-trusted", tmp_path)
    assert "does not answer them" not in seen["said"], seen
    assert seen["late"] >= 20, seen


def test_new_ones_go_to_the_edge_that_takes_the_address(tmp_path: Path) -> None:
    """Of three: the second takes packets, and no keepalived runs there to take the address."""
    seen = run("of-three", tmp_path)
    assert f"no keepalived runs on {seen['second']}" in seen["said"], seen
    assert f"new connections go to {seen['third']}" in seen["said"], seen
    assert seen["moved"]
    assert seen["lost"] == {}, seen


def test_control_an_edge_that_cannot_take_the_address_loses_what_began_there(
    tmp_path: Path,
) -> None:
    seen = run("of-three-unheard", tmp_path)
    assert f"new connections go to {seen['second']}" in seen["said"], seen
    assert seen["moved"]
    assert seen["lost"].get("kept", 0) >= 1, seen


def test_where_nobody_could_take_the_address_new_ones_stay_to_the_last(tmp_path: Path) -> None:
    seen = run("nobody", tmp_path)
    assert "no keepalived runs on" in seen["said"], seen
    assert "no other edge answers" in seen["said"], seen
    assert "new connections go" not in seen["said"], seen
