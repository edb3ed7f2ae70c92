"""`drain` and `undrain` while vCenter is away, and Pulumi's engine with it.

The control: what has to ask vCenter is refused at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, losses, traffic
from tests.acceptance.test_faults_in_runbooks import fails
from tests.acceptance.test_maintenance import host_of

pytestmark = pytest.mark.soak

Status = Callable[[], dict[str, Any]]
NAME = "lab-pulse-02"


@pytest.fixture(autouse=True)
def as_found(lab: Cli, permafrost: Cli) -> Iterator[None]:
    """Faults healed, nobody away."""
    yield
    lab.run("fault", "heal", "all")
    if replica_state(permafrost.json("status"), NAME) != "ADMITTED":
        permafrost.run("undrain", NAME, "--yes", expect=None)


@pytest.fixture
def without(permafrost: Cli, shell: Callable[..., Any], tmp_path: Path) -> Cli:
    """The command where Pulumi's engine cannot be run: hidden from it, and from nobody else."""
    pulumi = shell("command -v pulumi").stdout.strip()
    hide = 'mount --bind /dev/null "$0" && exec "$@"'
    script = tmp_path / "permafrost"
    script.write_text(
        f"#!/bin/sh\nexec unshare --mount sh -c '{hide}' {pulumi} {permafrost.program} \"$@\"\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return Cli(script, permafrost.env)


@pytest.mark.parametrize("mode", ["killed", "hung"])
def test_a_replica_goes_and_comes_back(
    mode: str, permafrost: Cli, without: Cli, lab: Cli, status: Status, tmp_path: Path
) -> None:
    host = host_of(status(), NAME)
    with traffic(lab, "pulse", 40, 600, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        lab.run("fault", "apply", "vcenter-away", "vcenter", f"mode={mode}")
        assert status()["vcenter"]["state"] == "DOWN"
        drained = without.json("drain", NAME, "--yes")
        assert (drained["state"], drained["in_flight"]) == ("DRAINED", 0)
        assert replica_state(status(), NAME) == "DRAINED"
        told = fails(without, "maintenance", "enter", host, status=3)
        assert told["code"] == "VCENTER_UNREACHABLE"
        assert without.json("undrain", NAME, "--yes")["state"] == "ADMITTED"
        assert replica_state(status(), NAME) == "ADMITTED"
        lab.run("fault", "heal", "all")
        assert "pulumi" in without.run("plan", expect=4).stderr, "the control: it is hidden"
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    assert permafrost.json("receipt", "verify")["problems"] == []
