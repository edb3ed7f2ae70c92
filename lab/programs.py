"""Programs of the control plane that still work for one lab: found by what they were told.

Machines and servers of a lab live in its control group. What works on it from outside (`permafrost
deploy`, Pulumi, Ansible) does not, and would write into its folder while that is removed.
Standard library only.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from lab.instance.waiting import wait_until

PROC = Path("/proc")
_ENGINE = ("pulumi", "pulumi-language-python", "pulumi-resource-vsphere")
_END_TIMEOUT_S = 10.0


def working_on(root: Path, programs: Path) -> list[int]:
    """Return the processes that run from ``programs`` (or are Pulumi's) for the lab in ``root``.

    A shell or an editor that merely has the lab's name in its environment is none of them, and
    neither is this process or one that it was started by.
    """
    mine = _ancestors(os.getpid())
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) in mine:
            continue
        argv, environment = _words(entry / "cmdline"), _words(entry / "environ")
        if not argv or not _is_ours(argv[0], programs):
            continue
        told = f"PERMAFROST_SITE={root}/site.yaml" in environment
        if told or any(f"{root}/" in word for word in argv):
            found.append(int(entry.name))
    return found


def end_those_working_on(root: Path, programs: Path) -> int:
    """End them and await their end; return how many there were. Raises OSError if one stays."""
    ended = working_on(root, programs)
    for pid in ended:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if ended and not wait_until(lambda: not working_on(root, programs), _END_TIMEOUT_S):
        raise OSError(f"still at work on {root}: {working_on(root, programs)}")
    return len(ended)


def _is_ours(program: str, programs: Path) -> bool:
    return program.startswith(f"{programs}/") or Path(program).name in _ENGINE


def _words(file: Path) -> list[str]:
    try:
        return file.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid and pid not in found:
        found.add(pid)
        try:
            # The name, which may hold blanks, stands in brackets before the parent's number.
            pid = int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return found
