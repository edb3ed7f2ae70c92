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
from typing import Any

from lab.front.instance import CHECKOUT, PROGRAMS, environment, instance_id, site_file
from lab.front.processes import CommandFailed, check, start
from lab.front.stages import Stages

HELD = 5
_HELD_PATIENCE_S = 120.0
_HELD_PAUSE_S = 2.0
_BUILD_TIMEOUT_S = 3600.0
_PART_TIMEOUT_S = 1800.0
_QUESTION = "What is the capital of France?"


def up(stages: Stages) -> None:
    """Bring the instance up. Raises CommandFailed at the first part that does not end well."""
    identity = instance_id()
    env = environment(identity)
    permafrost, lab = str(PROGRAMS / "permafrost"), str(PROGRAMS / "permafrost-lab")
    with _alone(identity, stages):
        with stages.stage("build", "engines, base image, packages, images, checkpoints"):
            check(
                [sys.executable, "-m", "lab.build", "--quiet"],
                cwd=CHECKOUT,
                timeout_s=_BUILD_TIMEOUT_S,
            )
        with stages.stage("lab", f"vCenter, registry and package source of instance {identity}"):
            check([lab, "up"], cwd=CHECKOUT, env=env, timeout_s=_PART_TIMEOUT_S)
        with stages.stage("deploy", "virtual machines and everything on them"):
            _deploy([permafrost, "deploy", "--yes"], env)
        with stages.stage("verify", "ask every endpoint"):
            status = _answer([permafrost, "status", "--output", "json"], env)
            if not status["healthy"]:
                check([permafrost, "status"], cwd=CHECKOUT, env=env, timeout_s=60)
                raise CommandFailed([permafrost, "status", "is not healthy"], 4)
            for endpoint in status["endpoints"]:
                ask = [permafrost, "ask", endpoint["name"], _QUESTION, "--output", "json"]
                answer = _answer(ask, env)
                stages.say(_told(endpoint["name"], answer))
    check([permafrost, "status"], cwd=CHECKOUT, env=env, timeout_s=60)
    stages.say(_guide(identity))


def _told(endpoint: str, answer: dict[str, Any]) -> str:
    text = " ".join(str(answer["text"]).split())
    return (
        f"    {endpoint}: “{text[:90]}”\n      from {answer['replica']}, "
        f"{answer['checkpoint'][:19]}…, {answer['total_ms']:.0f} ms"
    )


def _guide(identity: str) -> str:
    site = site_file(identity).relative_to(CHECKOUT)
    return (
        f"\nThe site is described in {site}. In this folder:\n"
        f"    export PERMAFROST_SITE={site}\n"
        "    .venv/bin/permafrost status\n"
        f'    .venv/bin/permafrost ask chat "{_QUESTION}"\n'
        "    .venv/bin/permafrost drain lab-chat-02 --yes\n"
        "    .venv/bin/permafrost-lab status\n"
        "    make down\n"
    )


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
    output, _ = process.communicate(timeout=180)
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
