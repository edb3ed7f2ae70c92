"""``make up`` killed (-9) at some moment and run again ends in a working site.

All five moments run in soak; one, chosen by the commit, in ``make test``.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.testrun.ownlab import owned
from tests.acceptance.driver import ROOT, Cli, wait_until

# What the front door prints, and how often, when the moment has come.
MOMENTS = {
    "while the lab's servers start": (r"^==> lab:", 1),
    "while machines are made": (r"create VirtualMachine \S+: begun", 1),
    "while machines boot": (r"create VirtualMachine \S+: done", 1),
    "while nodes converge": (r"create Convergence lab-edge-\d+: done", 1),
    "while the last replicas are admitted": (r"create Convergence lab-(chat|pulse)-\d+: done", 4),
}
MOMENT_WITHIN_S = 600.0
AGAIN_WITHIN_S = 1200.0
GONE_WITHIN_S = 10.0
pytestmark = pytest.mark.own_lab


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of an instance of its own; removed whatever happens."""
    env = {**os.environ, "PERMAFROST_LAB": f"k{os.getpid() % 0xFFFF:04x}"}
    env.pop("PERMAFROST_SITE", None)
    with owned(env["PERMAFROST_LAB"]):
        yield env
        subprocess.run(["make", "down"], cwd=ROOT, env=env, check=True, timeout=120)


def working(lab: str) -> list[str]:
    """Return the programs that work on a lab from outside: those of its servers are its own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mine = f"PERMAFROST_LAB={lab}".encode() in (folder / "environ").read_bytes()
            if mine and f"permafrost/{lab}/" not in (folder / "cgroup").read_text():
                argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(f"{folder.name} {argv}")
    return found


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize("moment", list(MOMENTS))
def test_up_killed_and_run_again_ends_well(
    moment: str, own: dict[str, str], tmp_path: Path
) -> None:
    line, times = MOMENTS[moment]
    lab = own["PERMAFROST_LAB"]
    shown = re.compile(line, re.MULTILINE)
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        first = subprocess.Popen(["make", "up"], cwd=ROOT, env=own, stdout=out, stderr=out)
        try:
            wait_until(
                f"{line} is printed {times} times",
                lambda: len(shown.findall(log.read_text())) >= times or first.poll() is not None,
                MOMENT_WITHIN_S,
            )
            assert first.poll() is None, log.read_text()[-4000:]
        finally:
            first.kill()  # make alone: what it started must not outlive it
            first.wait(10)
    with suppress(AssertionError):
        wait_until("all that make up started ends", lambda: not working(lab), GONE_WITHIN_S)
    assert working(lab) == []
    second = tmp_path / "again.log"
    with second.open("wb") as out:
        again = subprocess.run(
            ["make", "up"], cwd=ROOT, env=own, stdout=out, stderr=out, timeout=AGAIN_WITHIN_S
        )
    assert again.returncode == 0, second.read_text()[-4000:]
    site = ROOT / ".lab" / own["PERMAFROST_LAB"] / "site.yaml"
    permafrost = Cli(ROOT / ".venv/bin/permafrost", {**own, "PERMAFROST_SITE": str(site)})
    assert permafrost.json("status")["healthy"]
    assert permafrost.json("ask", "chat", "What is the capital of France?")["text"]
    assert permafrost.json("plan")["steps"] == []
