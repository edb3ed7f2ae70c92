"""What is to be done when a process ends without having left a block: also by a ``kill -9``.

A second process waits for the end of a pipe that the first one holds. It has a session of its own,
so that what ends the first one, or all its group, does not end it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.endings import ENDINGS

ROOT = Path(__file__).resolve().parents[2]
WELL = b"well\n"
WAIT_S = 300.0


@contextmanager
def outlived_by(argv: Sequence[str]) -> Iterator[None]:
    """Have a command run should the block end by anything but its own end."""
    program = [sys.executable, "-m", "tests.bench.guard", *argv]
    guard = subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)
    assert guard.stdin is not None
    try:
        yield
        with suppress(BrokenPipeError):
            guard.stdin.write(WELL)
    finally:
        with suppress(BrokenPipeError):
            guard.stdin.close()
        guard.wait(WAIT_S)


def main() -> int:
    """Wait for the end of the input; run the command unless it said that all is well."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == WELL:
        return 0
    return subprocess.call(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
