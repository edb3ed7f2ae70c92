"""``make up``: build what is missing, start the lab, deploy, verify, and say how to ask it.

Each part recognises what is already done, so the whole may be killed at any moment and run again.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.front.closing import QUESTION, answered, found_right, guide
from lab.front.instance import CHECKOUT, PROGRAMS, environment, instance_id, site_file
from lab.front.processes import CommandFailed, check, start
from lab.front.stages import Stages
from lab.instance.template import parts_of

HELD = 5
_HELD_PATIENCE_S = 120.0
_HELD_PAUSE_S = 2.0
_BUILD_TIMEOUT_S = 3600.0
_PART_TIMEOUT_S = 1800.0
_STATUS_TIMEOUT_S = 180.0


def up(stages: Stages, like: Path) -> None:
    """Bring the instance up, its site as a template says.

    Raises CommandFailed at the first part that does not end well.
    """
    identity = instance_id()
    env = environment(identity)
    permafrost, lab = str(PROGRAMS / "permafrost"), str(PROGRAMS / "permafrost-lab")
    with _alone(identity, stages):
        with stages.stage("build", "engines, base image, packages, images, checkpoints"):
            check(build_command(like), cwd=CHECKOUT, timeout_s=_BUILD_TIMEOUT_S)
        with stages.stage("lab", f"vCenter, registry and package source of instance {identity}"):
            argv = [lab, "up", "--like", str(like)]
            check(argv, cwd=CHECKOUT, env=env, timeout_s=_PART_TIMEOUT_S)
        with stages.stage("deploy", "virtual machines and everything on them"):
            _deploy([permafrost, "deploy", "--yes"], env)
        with stages.stage("verify", "ask every endpoint and every proxy"):
            status = _verified(permafrost, env, stages)
    check([permafrost, "status"], cwd=CHECKOUT, env=env, timeout_s=_STATUS_TIMEOUT_S)
    stages.say(guide(str(site_file(identity).relative_to(CHECKOUT)), status))


def build_command(like: Path) -> list[str]:
    """Return the command that builds what a lab of a kind is made of."""
    more = [f"--with={part}" for part in parts_of(like)]
    return [sys.executable, "-m", "lab.build", "--quiet", *more]


def _verified(permafrost: str, env: dict[str, str], stages: Stages) -> dict[str, Any]:
    """Say what every endpoint and every proxy answers; return the status. Raises CommandFailed."""
    status = _answer([permafrost, "status", "--output", "json"], env)
    if not status["healthy"]:
        check([permafrost, "status"], cwd=CHECKOUT, env=env, timeout_s=_STATUS_TIMEOUT_S)
        raise CommandFailed([permafrost, "status", "is not healthy"], 4)
    for endpoint in status["endpoints"]:
        ask = [permafrost, "ask", endpoint["name"], QUESTION, "--output", "json"]
        stages.say(answered(endpoint["name"], _answer(ask, env)))
    if status["knowledge"] is not None:
        try:
            lines = found_right(status["knowledge"])
        except ValueError as wrong:
            raise CommandFailed([permafrost, "status", str(wrong)], 4) from wrong
        stages.say("\n".join(lines))
    return status


def _deploy(argv: list[str], env: dict[str, str]) -> None:
    """Deploy; where an operation that was just killed still holds the site, wait for it to end."""
    deadline = time.monotonic() + _HELD_PATIENCE_S
    while True:
        try:
            check(argv, cwd=CHECKOUT, env=env, timeout_s=_PART_TIMEOUT_S)
        except CommandFailed as failed:
            if failed.status != HELD or time.monotonic() > deadline:
                raise
            time.sleep(_HELD_PAUSE_S)
        else:
            return


def _answer(argv: list[str], env: dict[str, str]) -> dict[str, Any]:
    process = start(argv, cwd=CHECKOUT, env=env, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=_STATUS_TIMEOUT_S)
    if process.returncode != 0:
        raise CommandFailed(argv, process.returncode)
    answer: dict[str, Any] = json.loads(output)
    return answer


@contextmanager
def _alone(identity: str, stages: Stages) -> Iterator[None]:
    """One ``up`` of an instance at a time; a second one waits for the first."""
    folder = CHECKOUT / ".cache"
    folder.mkdir(exist_ok=True)
    with (folder / f"up-{identity}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stages.say(f"another make up of instance {identity} is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
