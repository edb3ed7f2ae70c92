"""The base role's tasks about the time, done by Ansible on a real Debian, and what chrony does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.clocks import read_clocks
from permafrost.adapters.ssh import CommandResult

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[3]
ALONE = (
    *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"),
    # The first process of the machine: it buries what its daemons leave behind.
    *("sh", "-c", '"$@"; exit $?', "sh"),
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("machine")
    done = subprocess.run(
        [*ALONE, sys.executable, "-m", "tests.contract.base.machine", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_is_done_once_and_foretold_by_check_mode(seen: dict[str, Any]) -> None:
    changed, failed = seen["first"]
    assert changed
    assert failed == 0
    assert seen["checked"] == [changed, 0], "nothing is there yet, and that is no failure"
    assert seen["second"] == [0, 0]


def test_the_package_leaves_the_settings_that_were_there_before_it(seen: dict[str, Any]) -> None:
    lines = seen["settings"].split("\n")
    assert [line for line in lines if line.startswith(("server", "pool", "source"))] == [
        "server 127.0.0.2 iburst"
    ]
    assert seen["enabled"] == "enabled"
    assert seen["options"] == "-x"


def test_in_a_container_chrony_follows_the_server_and_sets_no_clock(seen: dict[str, Any]) -> None:
    assert "Operation not permitted" in seen["without -x"], "the control: it would set the clock"

    class Node:
        def run(self, node: str, argv: Any, **_: Any) -> CommandResult:
            return CommandResult(0, "0" if argv[0] == "date" else seen["tracking"], "")

    found = read_clocks(Node(), ["n"])["n"]
    assert found is not None
    assert (found.has_keeper, found.follows) == (True, "127.0.0.2")
