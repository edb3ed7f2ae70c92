"""Starting a long-lived process so that a killed starter leaves nothing half done.

The new process inherits the caller's lock and gives it up only once it is inside its control
group. Whoever gets the lock next therefore sees either a group with the process in it or no
process at all; it can never start a second one.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# The lock is standard input. $1: number of groups, then the groups, then the command.
_JOIN = """
n=$1; shift
while [ "$n" -gt 0 ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; n=$((n - 1)); done
exec "$@" < /dev/null
"""


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on a file; yields its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def spawn(
    argv: Sequence[str],
    *,
    groups: Sequence[Path],
    lock: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
) -> None:
    """Start a command in its own session inside ``groups``, its output in ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.Popen(
            [
                *("/bin/sh", "-c", _JOIN, "join", str(len(groups))),
                *(str(group) for group in groups),
                *argv,
            ],
            stdin=lock,
            stdout=output,
            stderr=output,
            cwd="/",
            env=dict(env) if env is not None else None,
            start_new_session=True,
            pass_fds=tuple(keep),
        )
