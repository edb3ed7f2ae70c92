"""Running the operating system's own tools."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from lab.errors import LabError

DEFAULT_TIMEOUT_S = 30.0


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command and return its standard output. Raises LabError when it fails."""
    shown = " ".join(argv[:6])
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=dict(env) if env is not None else None,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(
            "LAB_TOOL_MISSING", f"{argv[0]} is not installed", "run scripts/bootstrap.sh"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(
            "LAB_COMMAND_TIMEOUT",
            f"{shown}: no end after {timeout_s:.0f} s",
            "is the machine busy? run it again",
        ) from error
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(
            "LAB_COMMAND_FAILED",
            f"{shown}: exit {done.returncode}: {' / '.join(reason[-5:])}",
            "mend what it says, then run it again",
        )
    return done.stdout
