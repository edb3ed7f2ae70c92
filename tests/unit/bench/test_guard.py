"""A bench that is killed leaves nothing changed: its guard outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.instance.waiting import wait_until
from tests.bench.guard import ROOT, outlived_by

BENCH = """
import sys, time
from tests.bench.guard import outlived_by
with outlived_by(["touch", sys.argv[1]]):
    open(sys.argv[2], "w").close()
    time.sleep(60)
"""
DEADLINE_S = 30.0


def await_file(file: Path) -> None:
    assert wait_until(file.exists, DEADLINE_S, 0.02), f"{file.name} is not there"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_of_the_whole_group_is_outlived(number: signal.Signals, tmp_path: Path) -> None:
    restored, begun = tmp_path / "restored", tmp_path / "begun"
    argv = [sys.executable, "-c", BENCH, str(restored), str(begun)]
    with subprocess.Popen(argv, cwd=ROOT, start_new_session=True) as bench:
        await_file(begun)
        assert not restored.exists()
        os.killpg(bench.pid, number)
    await_file(restored)


def test_after_a_failure_it_acts_before_the_program_goes_on(tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    with pytest.raises(RuntimeError, match="broken"), outlived_by(["touch", str(restored)]):
        raise RuntimeError("broken")
    assert restored.exists()


def test_after_a_block_that_ended_well_it_does_nothing(tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    with outlived_by(["touch", str(restored)]):
        pass
    assert not restored.exists()
