"""Run ``pulumi`` as a child that does not outlive us, and read it line by line.

The child leads a process group of its own and is killed by the kernel when we die
(``setpriv --pdeathsig``); what it started itself watches it in turn (see ``lifeline``).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

TERMINATION_GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended."""

    status: int
    stdout: str
    stderr: str
    timed_out: bool


def run_child(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    deadline_s: float,
    on_line: Callable[[str], None] | None = None,
) -> Finished:
    """Run one command to its end or to its deadline. ``on_line`` gets each line of stdout."""
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *argv],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    overdue = threading.Event()

    def expire() -> None:
        overdue.set()
        log.warning("%s has had its %.0f s; ending it", argv[0], deadline_s)
        end_group(child)

    timer = threading.Timer(deadline_s, expire)
    timer.daemon = True
    timer.start()
    errors: list[str] = []
    reader = threading.Thread(target=_collect, args=(child, errors), daemon=True)
    reader.start()
    lines: list[str] = []
    try:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            if on_line is not None:
                on_line(line)
        status = child.wait()
    except BaseException:
        end_group(child)
        raise
    finally:
        timer.cancel()
    reader.join(timeout=5)
    return Finished(status, "".join(lines), "".join(errors), overdue.is_set())


def end_group(child: subprocess.Popen[str]) -> None:
    """Ask the child to stop, so that it can save its state; kill its group when it does not."""
    with suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGTERM)
    try:
        child.wait(timeout=TERMINATION_GRACE_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=TERMINATION_GRACE_S)


def _collect(child: subprocess.Popen[str], lines: list[str]) -> None:
    assert child.stderr is not None
    lines.extend(child.stderr)
