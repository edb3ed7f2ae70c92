"""The rules as nftables takes them: whom a node may ask for the time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "tests/golden/ansible/files"
NAMED, STRANGER = "10.20.0.3", "192.0.2.9"


def asked(rules: str) -> dict[str, dict[str, str]]:
    command = ["unshare", "--net", sys.executable, "-m", "tests.contract.walls.asked"]
    done = subprocess.run(
        [*command, str(FILES / rules), NAMED, STRANGER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("rules", ["nftables-timed.conf", "nftables-knowledge-timed.conf"])
def test_only_the_sites_servers_are_asked_for_the_time(rules: str) -> None:
    found = asked(rules)
    assert set(found["open"].values()) == {"answered"}, "the control: without walls everybody is"
    assert found["walled"] == {
        f"{NAMED}:123": "answered",
        f"{NAMED}:53": "answered",
        f"{STRANGER}:123": "refused",
        f"{STRANGER}:53": "answered",
    }


@pytest.mark.parametrize("rules", ["nftables-node.conf", "nftables.conf"])
def test_a_site_that_names_none_leaves_the_templates_own_alone(rules: str) -> None:
    assert set(asked(rules)["walled"].values()) == {"answered"}
