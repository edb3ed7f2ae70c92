"""Runs the programs that build: output to a log, and nothing left behind when the builder dies.

As root each command gets its own process and mount namespaces: when the builder is killed, even
with SIGKILL, the kernel ends every descendant and drops every mount that the command made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.build.problem import BuildError

DEFAULT_TIMEOUT_S = 1800
_TAIL_LINES = 30


def contained(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` wrapped so that it dies with its parent, with all that it started."""
    prefix = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    if prefix and os.geteuid() == 0:
        prefix += ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    return [*prefix, *argv]


def run(
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> None:
    """Run a command, its output appended to ``log``. Raises with the log's tail when it fails."""
    with log.open("ab") as sink:
        sink.write(f"$ {' '.join(argv)}\n".encode())
        sink.flush()
        start = sink.tell()
        try:
            done = subprocess.run(
                contained(argv),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=None if env is None else {**os.environ, **env},
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(
                "COMMAND_TIMEOUT",
                f"{argv[0]} took longer than {timeout_s:.0f} s",
                "is the machine busy, or a registry slow? run it again",
            ) from error
        except FileNotFoundError as error:
            raise BuildError(
                "COMMAND_MISSING", f"{argv[0]} is not installed", "run scripts/bootstrap.sh"
            ) from error
    if done.returncode != 0:
        raise BuildError(
            "COMMAND_FAILED",
            f"{argv[0]} exited {done.returncode}:\n{tail(log, start)}",
            "the lines above say why; mend it and run it again: what is built is kept",
        )


def output(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> str:
    """Return what a command printed."""
    try:
        done = subprocess.run(
            contained(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(
            "COMMAND_MISSING", f"{argv[0]} is not installed", "run scripts/bootstrap.sh"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(
            "COMMAND_TIMEOUT",
            f"{argv[0]} took over {timeout_s:.0f} s",
            "is the machine busy, or a registry slow? run it again",
        ) from error
    if done.returncode != 0:
        raise BuildError(
            "COMMAND_FAILED",
            f"{' '.join(argv)}: {done.stderr.strip()[-2000:]}",
            "mend what it says, then run it again: what is built is kept",
        )
    return done.stdout


def tail(log: Path, start: int = 0) -> str:
    """Return the last lines that were written to ``log`` after ``start``."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])
