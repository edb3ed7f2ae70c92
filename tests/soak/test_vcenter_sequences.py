"""Random sequences on the lab's vCenter: its view and the hypervisor's agree after each.

Power, maintenance, hosts that die and come back, machines that die, and the vCenter killed with
SIGKILL in the middle of its work. The sequences are Go's (lab/vcenter/cmd/labvcenter), by seed.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from lab.build import golang, parts
from lab.build.model import CHECKOUT

SEQUENCES, BLOCK = 200, 10
TIMEOUT_S = 900


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1, SEQUENCES + 1, BLOCK))
def test_view_and_machines_agree(first: int) -> None:
    go = golang.go_command(parts.path("go"))
    test = ["./cmd/labvcenter", "-run", "^TestAfterAnySequenceViewAndMachinesAgree$"]
    done = subprocess.run(
        [go, "test", "-count=1", f"-timeout={TIMEOUT_S}s", "-parallel=2", *test],
        cwd=CHECKOUT / "lab" / "vcenter",
        env={
            **os.environ,
            **golang.build_env(),
            "LABVCENTER_SEQUENCES": f"{first}-{first + BLOCK}",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S + 60,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "no tests to run" not in done.stdout
