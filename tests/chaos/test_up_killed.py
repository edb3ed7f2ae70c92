"""``make up`` killed (-9) at some moment and run again ends in a working site.

All five moments run in soak; one, chosen by the commit, in ``make test``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.driver import ROOT, Cli, wait_until

# What the front door prints when a part has begun, and how long after it the kill comes.
MOMENTS = {
    "while the lab's servers start": ("lab", 1.0),
    "while machines are made": ("deploy", 15.0),
    "while machines boot": ("deploy", 30.0),
    "while nodes converge": ("deploy", 70.0),
    "while the last replicas are admitted": ("deploy", 110.0),
}
pytestmark = pytest.mark.own_lab


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of an instance of its own; removed whatever happens."""
    env = {**os.environ, "PERMAFROST_LAB": f"k{os.getpid() % 0xFFFF:04x}"}
    env.pop("PERMAFROST_SITE", None)
    yield env
    subprocess.run(["make", "down"], cwd=ROOT, env=env, check=True, timeout=120)


@pytest.mark.parametrize("moment", list(MOMENTS))
def test_up_killed_and_run_again_ends_well(
    moment: str, own: dict[str, str], tmp_path: Path
) -> None:
    part, after_s = MOMENTS[moment]
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        first = subprocess.Popen(
            ["make", "up"], cwd=ROOT, env=own, stdout=out, stderr=out, start_new_session=True
        )
        begun = re.compile(rf"^==> {part}:", re.MULTILINE)
        wait_until(f"part {part} begins", lambda: begun.search(log.read_text()), 300)
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(after_s)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(10)
    again = subprocess.run(
        ["make", "up"], cwd=ROOT, env=own, capture_output=True, text=True, timeout=600, check=False
    )
    assert again.returncode == 0, again.stdout[-4000:] + again.stderr[-4000:]
    site = ROOT / ".lab" / own["PERMAFROST_LAB"] / "site.yaml"
    permafrost = Cli(ROOT / ".venv/bin/permafrost", {**own, "PERMAFROST_SITE": str(site)})
    assert permafrost.json("status")["healthy"]
    assert permafrost.json("ask", "chat", "What is the capital of France?")["text"]
    assert permafrost.json("plan")["steps"] == []
