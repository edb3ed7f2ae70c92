"""A site that demands signed baselines: a node believes no other, whoever put it there.

Only one replica is configured so, and back again. It is soak: it takes three convergences.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.driver import ROOT, Cli, wait_until
from tests.acceptance.models import PULSE, pinned, release_key, signed_site

pytestmark = pytest.mark.soak
Status = Callable[[], dict[str, Any]]
REPLICA = "lab-pulse-03"
CONVERGE_S = 900


def test_a_node_is_admitted_by_a_signed_baseline_alone(
    site_file: Path,
    permafrost: Cli,
    status: Status,
    on: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    key, checkpoint = release_key(tmp_path), pinned(site_file, "pulse")
    host = on(REPLICA)
    with signed_site(site_file, key, required_for=["fingerprint"]) as site:
        strict = Cli(ROOT / ".venv/bin/permafrost", {**os.environ, "PERMAFROST_SITE": str(site)})
        try:
            words = ("converge", REPLICA, "--yes", "--output", "json")
            failed = strict.run(*words, expect=4, timeout=CONVERGE_S)
            (problem,) = json.loads(failed.stderr)
            assert problem["code"] == "CONVERGE_FAILED"
            assert "FINGERPRINT_UNSIGNED" in problem["message"]
            assert replica_state(status(), REPLICA) != "ADMITTED"
            assert endpoint(status(), "pulse")["ready"] == 2, "nobody else was touched"

            pin = f"{PULSE}@{checkpoint}"
            strict.json("model", "fingerprint", "sign", pin, "--key", str(key))
            strict.run("converge", REPLICA, "--yes", timeout=CONVERGE_S)
            assert replica_state(status(), REPLICA) == "ADMITTED"
            short = checkpoint.removeprefix("sha256:")[:16]
            file = f"/etc/permafrost/fingerprint-{short}.json"
            (kept,) = host.check_output(f"ls {file.removesuffix('.json')}.*.sig").split()

            host.check_output(f"printf ' ' >> {file}")  # the same probes, other bytes
            refused = host.run("permafrost-node probe --json")
            assert refused.rc == 3
            assert "FINGERPRINT_UNSIGNED" in json.loads(refused.stdout)["reason"]
            wait_until(
                "the replica is out of rotation",
                lambda: replica_state(status(), REPLICA) == "OUT",
                30,
            )
            host.check_output("permafrost-node follow")
            assert json.loads(host.check_output("permafrost-node probe --json"))["passed"]
            host.check_output(f"rm {kept}")
            assert host.run("permafrost-node probe --json").rc == 3
            host.check_output("permafrost-node follow")
            assert json.loads(host.check_output("permafrost-node probe --json"))["passed"]
        finally:
            permafrost.run(
                "converge", REPLICA, "--yes", timeout=CONVERGE_S
            )  # as the other scenarios know it
    assert (
        json.loads(host.file("/etc/permafrost/node.json").content_string)["baseline_signers"]
        is None
    )
    wait_until("the site is as before", lambda: status()["healthy"], 60, every_s=1)
