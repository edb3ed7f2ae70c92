"""A child ends with its parent, and at its deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from permafrost.adapters.pulumi_stack.command import run_child

PARENT = """
import sys
from pathlib import Path
from permafrost.adapters.pulumi_stack.command import run_child
run_child(["sh", "-c", "echo $$; exec sleep 60"], cwd=Path("."), environment={},
          deadline_s=60, on_line=lambda line: print(line, end="", flush=True))
"""


def test_lines_arrive_as_they_are_said(tmp_path: Path) -> None:
    lines: list[str] = []
    done = run_child(
        ["sh", "-c", "echo one; echo $WORD; echo bad >&2; exit 3"],
        cwd=tmp_path,
        environment={"WORD": "two"},
        deadline_s=20,
        on_line=lines.append,
    )
    assert lines == ["one\n", "two\n"]
    assert (done.status, done.stderr, done.timed_out) == (3, "bad\n", False)


def test_a_child_that_is_overdue_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run_child(["sleep", "60"], cwd=tmp_path, environment={}, deadline_s=0.2)
    assert done.timed_out
    assert done.status != 0
    assert time.monotonic() - began < 15


def test_a_child_dies_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
