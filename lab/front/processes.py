"""Child processes of a run: they die with it, and a stop asked of the run is passed on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

_GRACE_S = 30.0
_running: set[subprocess.Popen[bytes]] = set()


class Stopped(BaseException):
    """The run was asked to end."""


class CommandFailed(Exception):  # noqa: N818
    """A command of the run did not end well."""

    def __init__(self, argv: Sequence[str], status: int) -> None:
        super().__init__(f"{Path(argv[0]).name} {' '.join(argv[1:4])} … exited {status}")
        self.status = status


def stop_on_signals() -> None:
    """Turn SIGTERM, SIGHUP and SIGINT into ``Stopped``, so that every ``finally`` runs."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)  # the way out is not interrupted again
        for process in tuple(_running):
            process.terminate()  # whoever waits for it, in whichever thread, goes on at once
        raise Stopped(signal.Signals(number).name)

    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, stop)


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command that the kernel ends when this process dies."""
    prefix = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    return subprocess.Popen(
        [*prefix, *argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


def call(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> int:
    """Run a command and return its exit status; 124 when it took too long."""
    process = start(argv, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
    _running.add(process)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        _running.discard(process)
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that is still running: asked first, then forced."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def check(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float,
) -> None:
    """Run a command. Raises when it does not end well."""
    status = call(argv, cwd=cwd, env=env, timeout_s=timeout_s)
    if status != 0:
        raise CommandFailed(argv, status)
