"""Commands that kill themselves (-9) at a step, and what they leave."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from tests.acceptance.driver import Cli
from tests.acceptance.kills import PERHAPS_TRUE

KILLED_S = 900.0


def latest(permafrost: Cli) -> dict[str, Any]:
    """Return what the site's history says of the latest operation."""
    found: dict[str, Any] = permafrost.json("history", "--limit", "1")["operations"][0]
    return found


def killed(permafrost: Cli, at: str, *args: str) -> str:
    """Run a command that kills itself there; return the operation that it leaves."""
    operation = killed_unless_true(permafrost, at, *args)
    assert operation is not None, f"{at}: nobody was killed"
    return operation


def killed_unless_true(permafrost: Cli, at: str, *args: str) -> str | None:
    """Run a command that kills itself there; return the operation that it leaves.

    None where all steps of a kind that only waits found it true: nobody could be killed.
    """
    crashing = Cli(permafrost.program, {**permafrost.env, "PERMAFROST_CRASH_AT": at})
    done = crashing.run(*args, expect=None, timeout=KILLED_S)
    run, step = latest(permafrost), at.split(":")[1]
    if done.returncode == 0 and step in PERHAPS_TRUE:
        journal = permafrost.json("show", run["operation"])["journal"]
        assert {e["phase"] for e in journal if e["kind"] == step} == {"ALREADY"}
        return None
    assert done.returncode == -signal.SIGKILL, (done.stdout[-2000:], done.stderr[-2000:])
    assert (run["state"], run["interrupted"]) == ("paused", True), run
    return str(run["operation"])


def killed_in_turn(
    permafrost: Cli, command: str, steps: Sequence[str], when: str, *args: str
) -> str:
    """Begin an operation that is killed at the first step, resumed and killed at the next, ….

    Each resumption has to come as far as the next kind of step, in the plan's order. Returns the
    operation that the last kill leaves.
    """
    operation = killed(permafrost, f"{command}:{steps[0]}:{when}", *args)
    for step in steps[1:]:
        at = f"{command}:{step}:{when}"
        assert killed(permafrost, at, "resume", operation, "--yes") == operation
    return operation


def recover(permafrost: Cli, verb: str, operation: str) -> None:
    """Finish an operation (`resume`) or take it back (`abort`)."""
    ended = permafrost.json(verb, operation, "--yes", timeout=KILLED_S)
    assert ended["state"] == {"resume": "done", "abort": "aborted"}[verb]
