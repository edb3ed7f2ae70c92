"""``make up`` killed (-9) at some moment and run again ends in a working site.

Of a lab with a knowledge tier and of the standard one. All moments of both run in soak; one of the
tier's, chosen by the commit, in ``make test``, which goes on with the lab that it leaves.
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
from lab.testrun.run import LENT_LAB
from tests.acceptance.driver import ROOT, Cli, healthy, wait_until

# What the front door prints, and how often, when the moment has come.
MOMENTS = {
    "while the lab's servers start": (r"^==> lab:", 1),
    "while machines are made": (r"create VirtualMachine \S+: begun", 1),
    "while machines boot": (r"create VirtualMachine \S+: done", 1),
    "while nodes converge": (r"create Convergence lab-edge-\d+: done", 1),
}
STANDARD = {
    **MOMENTS,
    "while the last replicas are admitted": (r"create Convergence lab-(chat|pulse)-\d+: done", 4),
}
KNOWLEDGE = {
    **MOMENTS,
    "while the last replica is admitted": (r"create Convergence lab-pulse-\d+: done", 1),
    "while the last members are configured": (r"create Convergence lab-knowledge-\d+: done", 1),
    "while the tier is told its users": (r"create ClusterConvergence \S+: begun", 1),
}
QUESTION = "What is the capital of France?"
MOMENT_WITHIN_S = 900.0
AGAIN_WITHIN_S = 1500.0
GONE_WITHIN_S = 10.0
SETTLED_S = 180.0
# A test that is killed takes what it started along: nobody else would end it.
MAKE_UP = ("setpriv", "--pdeathsig", "KILL", "--", "make", "up")
pytestmark = pytest.mark.own_lab


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of an instance of its own, removed whatever happens.

    One that is lent by its name is made here all the same; who lends it removes it.
    """
    lent = os.environ.get(LENT_LAB, "")
    env = {**os.environ, "PERMAFROST_LAB": lent or f"k{os.getpid() % 0xFFFF:04x}"}
    env.pop("PERMAFROST_SITE", None)
    if lent:
        assert not (ROOT / ".lab" / lent).exists(), "nothing is made where something stands"
        yield env
        return
    with owned(env["PERMAFROST_LAB"]):
        yield env
        subprocess.run(["make", "down"], cwd=ROOT, env=env, check=True, timeout=300)


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


def killed_and_run_again(
    like: str, moment: tuple[str, int], own: dict[str, str], folder: Path
) -> Cli:
    """Kill ``make up`` at a moment, run it again to its end; return the site's ``permafrost``."""
    line, times = moment
    lab = own["PERMAFROST_LAB"]
    argv = (*MAKE_UP, f"LIKE={like}")
    shown = re.compile(line, re.MULTILINE)
    log = folder / "up.log"
    with log.open("wb") as out:
        first = subprocess.Popen(argv, cwd=ROOT, env=own, stdout=out, stderr=out)
        try:
            wait_until(
                f"{line} is printed {times} times",
                lambda: len(shown.findall(log.read_text())) >= times or first.poll() is not None,
                MOMENT_WITHIN_S,
            )
            assert first.poll() is None, log.read_text()[-12000:]
        finally:
            first.kill()  # make alone: what it started must not outlive it
            first.wait(10)
    with suppress(AssertionError):
        wait_until("all that make up started ends", lambda: not working(lab), GONE_WITHIN_S)
    assert working(lab) == []
    second = folder / "again.log"
    with second.open("wb") as out:
        again = subprocess.run(
            argv, cwd=ROOT, env=own, stdout=out, stderr=out, timeout=AGAIN_WITHIN_S
        )
    assert again.returncode == 0, second.read_text()[-12000:]
    site = ROOT / ".lab" / lab / "site.yaml"
    permafrost = Cli(ROOT / ".venv/bin/permafrost", {**own, "PERMAFROST_SITE": str(site)})
    assert permafrost.json("plan")["steps"] == []
    return permafrost


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize("moment", list(KNOWLEDGE))
def test_up_killed_and_run_again_ends_well(
    moment: str, own: dict[str, str], tmp_path: Path
) -> None:
    like = "sites/lab-knowledge.yaml"
    permafrost = killed_and_run_again(like, KNOWLEDGE[moment], own, tmp_path)
    status = healthy(permafrost, SETTLED_S)
    knowledge = status["knowledge"]
    assert knowledge["ready"], knowledge["problems"]
    found = [proxy["canaries"] for proxy in knowledge["proxies"]]
    assert len(found) == 2
    assert all(c["right"] == c["asked"] > 0 for c in found), found
    assert permafrost.json("ask", "pulse", QUESTION)["text"]


@pytest.mark.soak
@pytest.mark.parametrize("moment", list(STANDARD))
def test_up_of_the_standard_lab_killed_and_run_again_ends_well(
    moment: str, own: dict[str, str], tmp_path: Path
) -> None:
    permafrost = killed_and_run_again("sites/lab.yaml", STANDARD[moment], own, tmp_path)
    assert permafrost.json("status")["healthy"]
    assert permafrost.json("ask", "chat", QUESTION)["text"]
