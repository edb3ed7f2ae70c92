"""What works on a lab from outside its control group is found and ended; nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.instance.waiting import wait_until
from lab.programs import end_those_working_on, working_on

SLEEP = "import time; time.sleep(60)"


@contextmanager
def program(argv: list[str], **env: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, env={**os.environ, **env})
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_what_was_told_the_lab_is_ended_and_nothing_else(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    python = programs / "python"
    python.symlink_to(sys.executable)
    root, other = tmp_path / ".lab/aa", tmp_path / ".lab/aab"
    with (
        program([str(python), "-c", SLEEP], PERMAFROST_SITE=f"{root}/site.yaml") as by_site,
        program([str(python), "-c", SLEEP, f"{root}/state/ansible"]) as by_word,
        program([str(python), "-c", SLEEP], PERMAFROST_SITE=f"{other}/site.yaml") as neighbour,
        program([sys.executable, "-c", SLEEP], PERMAFROST_SITE=f"{root}/site.yaml") as editor,
    ):
        ours = {by_site.pid, by_word.pid}
        assert wait_until(lambda: set(working_on(root, programs)) == ours, 10)
        assert end_those_working_on(root, programs) == 2
        assert by_site.wait(10) != 0
        assert by_word.wait(10) != 0
        assert neighbour.poll() is None
        assert editor.poll() is None
        assert end_those_working_on(root, programs) == 0
