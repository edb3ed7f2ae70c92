"""Processes of servers that a bench runs, each by the name of its member."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable


def end(running: dict[str, subprocess.Popen[bytes]], names: Iterable[str]) -> None:
    """End those of these names that run, all at the same time, as a lost machine ends them."""
    found = [running.pop(name) for name in names if name in running]
    for process in found:
        process.kill()
    for process in found:
        process.wait()
