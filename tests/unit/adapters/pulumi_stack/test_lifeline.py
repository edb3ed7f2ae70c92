"""What Pulumi started for us ends when the engine is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from permafrost.adapters.pulumi_stack.lifeline import ancestor_named

WORKER = """
import subprocess, sys, time
from permafrost.adapters.pulumi_stack.lifeline import bind_to_engine
assert bind_to_engine() is not None
grandchild = subprocess.Popen(["sleep", "60"])
import os
print(os.getpid(), grandchild.pid, flush=True)
time.sleep(60)
"""


def test_a_worker_and_its_children_end_with_the_engine(tmp_path: Path) -> None:
    # A shell under the engine's name, which waits for its child.
    engine_program = tmp_path / "pulumi"
    shutil.copy2("/bin/sh", engine_program)
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    engine = subprocess.Popen(
        [str(engine_program), "-c", f"{sys.executable} {script}; exit 0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert engine.stdout is not None
    worker, grandchild = map(int, engine.stdout.readline().split())
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    deadline = time.monotonic() + 10
    while (_runs(worker) or _runs(grandchild)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)
    assert not _runs(grandchild)


def test_outside_of_pulumi_there_is_no_engine() -> None:
    assert ancestor_named("no-such-engine") is None


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
